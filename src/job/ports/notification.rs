//! [`Notification`]: what wakes those who wait.

use std::pin::Pin;

use futures_util::{Stream, StreamExt};

use crate::job::JobId;

/// What has happened; a hint to look, not a message to rely on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notification {
    /// A task waits for a worker.
    Queued,
    /// A delivery waits for its webhook.
    Delivery,
    /// A job has a new event.
    Event(JobId),
    /// Some may have been lost: ask for what you wait for.
    Lagged,
}

/// Notifications as they come.
pub type NotificationStream = Pin<Box<dyn Stream<Item = Notification> + Send>>;

/// Waits for a notification, or for [`Notification::Lagged`]. For ever, if the stream ends: a waiter also polls now and
/// then.
pub async fn wait_for(notifications: &mut NotificationStream, wanted: &Notification) {
    while let Some(notification) = notifications.next().await {
        if notification == *wanted || notification == Notification::Lagged {
            return;
        }
    }
    std::future::pending().await
}
