//! Bodies that must arrive: one that drips holds a connection, a place among the requests in hand, and memory.

use std::{
    error::Error,
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep};

/// How slowly a body may come: within `patience`, and so much longer as the bytes that did come take at `least` a second.
/// Time in which we do not read does not count.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The time that every body has.
    pub patience: Duration,
    /// Bytes a second.
    pub least: u32,
}

/// A body came too slowly.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the body came too slowly")]
struct TooSlow;

/// Whether that was why a body could not be read.
pub(in crate::api) fn too_slow(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if error.is::<TooSlow>() || inner.is_some_and(|inner| inner.is::<TooSlow>()) {
            return true;
        }
        next = error.source();
    }
    false
}

/// Gives up on bodies that are slower than that.
pub(super) async fn pace(State(pace): State<Pace>, request: Request, next: Next) -> Response {
    next.run(request.map(|body| Body::new(Paced { body, pace, came: 0, waited: Duration::ZERO, waiting: None }))).await
}

/// A body that is waited for.
struct Paced {
    body: Body,
    pace: Pace,
    /// Bytes so far.
    came: u64,
    /// How long they were waited for.
    waited: Duration,
    /// Since when there is a wait, and its end.
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl Paced {
    /// How much longer it may take.
    fn left(&self) -> Duration {
        let earned = Duration::from_secs_f64(self.came as f64 / f64::from(self.pace.least.max(1)));
        self.pace.patience.saturating_add(earned).saturating_sub(self.waited)
    }
}

impl http_body::Body for Paced {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            if let Some((since, _)) = self.waiting.take() {
                self.waited += since.elapsed();
            }
            if let Some(Ok(bytes)) = frame.as_ref().map(|frame| frame.as_ref().map(Frame::data_ref)) {
                self.came += bytes.map_or(0, Bytes::len) as u64;
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let left = self.left();
        let (_, end) = self.waiting.get_or_insert_with(|| (Instant::now(), Box::pin(tokio::time::sleep(left))));
        // As an error of input and output, which uploads make of it anyway.
        end.as_mut().poll(cx).map(|()| Some(Err(io::Error::new(io::ErrorKind::TimedOut, TooSlow).into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    const PACE: Pace = Pace { patience: Duration::from_secs(10), least: 1000 };

    fn paced(body: Body, pace: Pace) -> Paced {
        Paced { body, pace, came: 0, waited: Duration::ZERO, waiting: None }
    }

    #[test]
    fn a_body_has_its_time_and_more_for_every_byte() {
        let left =
            |came, waited| Paced { came, waited: Duration::from_secs(waited), ..paced(Body::empty(), PACE) }.left();
        assert_eq!(left(0, 4), Duration::from_secs(6));
        assert_eq!(left(1500, 11), Duration::from_millis(500));
        assert_eq!(left(0, 11), Duration::ZERO);
        assert_eq!(left(1 << 40, 1_000_000).as_secs(), (1 << 40) / 1000 + 10 - 1_000_000);
    }

    #[tokio::test]
    async fn a_body_that_stops_is_given_up_and_one_that_comes_is_read() {
        let pace = Pace { patience: Duration::from_millis(50), ..PACE };
        let endless = stream::pending::<Result<Bytes, io::Error>>();
        let error =
            axum::body::to_bytes(Body::new(paced(Body::from_stream(endless), pace)), usize::MAX).await.unwrap_err();
        assert!(too_slow(&error), "{error:?}");
        let whole = axum::body::to_bytes(Body::new(paced(Body::from(vec![7; 5000]), pace)), usize::MAX).await;
        assert_eq!(whole.unwrap().len(), 5000);
    }
}
