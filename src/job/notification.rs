//! [`Notification`]: what wakes those who wait.

use std::pin::Pin;

use futures_util::{Stream, StreamExt};

use super::JobId;

/// Something happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notification {
    /// A task waits for a worker.
    Queued,
    /// A webhook has something to be told.
    Delivery,
    /// A job has a new event.
    Event(JobId),
    /// Some news may have been missed: look yourself.
    Lagged,
}

/// Notifications as they come.
pub type NotificationStream = Pin<Box<dyn Stream<Item = Notification> + Send>>;

/// Waits for news of a kind, or for the word that some may have been missed. For ever, if the stream ends: whoever waits looks
/// for himself now and then.
pub async fn wait_for(notifications: &mut NotificationStream, wanted: &Notification) {
    while let Some(told) = notifications.next().await {
        if told == *wanted || told == Notification::Lagged {
            return;
        }
    }
    std::future::pending().await
}
