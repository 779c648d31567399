//! [`News`]: what wakes those who wait.

use std::pin::Pin;

use futures_util::{Stream, StreamExt};

use super::JobId;

/// Something happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// A task waits for a worker.
    Queued,
    /// A webhook has something to be told.
    Delivery,
    /// A job has a new event.
    Event(JobId),
    /// Some news may have been missed: look yourself.
    Missed,
}

/// News as it comes.
pub type NewsStream = Pin<Box<dyn Stream<Item = News> + Send>>;

/// Waits for news of a kind, or for the word that some may have been missed. For ever, if the stream ends: whoever waits looks
/// for himself now and then.
pub async fn hear(news: &mut NewsStream, wanted: &News) {
    while let Some(told) = news.next().await {
        if told == *wanted || told == News::Missed {
            return;
        }
    }
    std::future::pending().await
}
