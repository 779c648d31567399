//! [`Paced`]: a place that must not be too slow. A server that sends a byte now and then is never silent, and would keep a
//! worker for as long as it likes.

use std::{
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};

use super::place::{Body, Object, Place, ReadError};

/// How fast a place must be.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The least bytes of a second, over a window.
    pub least: u64,
    /// The time over which it is measured. Only the time counts in which we wait for the place.
    pub window: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Pace { least: 1024, window: Duration::from_secs(30) }
    }
}

/// A place whose files must arrive at some pace.
#[derive(Clone, Debug)]
pub(in crate::storage) struct Paced {
    pub(in crate::storage) inner: Arc<dyn Place>,
    pub(in crate::storage) pace: Pace,
}

/// A body, and how much of it came lately.
struct Watched {
    body: Body,
    pace: Pace,
    /// How long we have waited in this window.
    waited: Duration,
    /// What arrived in it.
    bytes: u64,
}

impl Watched {
    async fn next(mut self) -> Option<(Result<Bytes, ReadError>, Self)> {
        loop {
            let began = Instant::now();
            let next = tokio::time::timeout(self.pace.window.saturating_sub(self.waited), self.body.next()).await;
            self.waited += began.elapsed();
            if let Ok(Some(Ok(bytes))) = &next {
                self.bytes += bytes.len() as u64;
            }
            if self.waited >= self.pace.window {
                if (self.bytes as f64) < self.pace.least as f64 * self.waited.as_secs_f64() {
                    let slow = ReadError::Slow { bytes: self.bytes, seconds: self.waited.as_secs() };
                    return Some((Err(slow), self));
                }
                (self.waited, self.bytes) = (Duration::ZERO, 0);
            }
            if let Ok(item) = next {
                return item.map(|item| (item, self));
            }
        }
    }
}

#[async_trait]
impl Place for Paced {
    async fn head(&self, path: &str) -> Result<Object, ReadError> {
        self.inner.head(path).await
    }

    async fn list(&self, path: &str) -> Result<Vec<(String, Object)>, ReadError> {
        self.inner.list(path).await
    }

    async fn open(&self, object: &Object, range: Option<Range<u64>>) -> Result<Body, ReadError> {
        let body = self.inner.open(object, range).await?;
        let watched = Watched { body, pace: self.pace, waited: Duration::ZERO, bytes: 0 };
        Ok(Box::pin(stream::unfold(watched, Watched::next)))
    }

    fn beside(&self, path: &str, name: &str) -> String {
        self.inner.beside(path, name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends parts of a size, each after a wait, and counts none of ours.
    async fn read(size: usize, wait: Duration, parts: usize) -> Result<usize, ReadError> {
        let body: Body = Box::pin(stream::iter(0..parts).then(move |_| async move {
            tokio::time::sleep(wait).await;
            Ok(Bytes::from(vec![0; size]))
        }));
        let pace = Pace { least: 1000, window: Duration::from_millis(100) };
        let watched = Watched { body, pace, waited: Duration::ZERO, bytes: 0 };
        let mut stream = Box::pin(stream::unfold(watched, Watched::next));
        let mut count = 0;
        while let Some(item) = stream.next().await {
            count += item?.len();
        }
        Ok(count)
    }

    #[tokio::test]
    async fn a_body_that_drips_is_given_up_and_one_that_is_slow_is_not() {
        assert_eq!(read(100, Duration::from_millis(20), 20).await.unwrap(), 2000);
        assert_eq!(read(10_000, Duration::from_millis(90), 3).await.unwrap(), 30_000);
        let began = Instant::now();
        for (size, wait) in [(1, Duration::from_millis(20)), (100, Duration::from_secs(60))] {
            assert!(matches!(read(size, wait, 1000).await, Err(ReadError::Slow { .. })));
        }
        assert!(began.elapsed() < Duration::from_secs(10));
    }
}
