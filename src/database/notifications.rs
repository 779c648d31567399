//! Notifications of one process: what its own transactions and, on Postgres, those of others made true.

use futures_util::stream;
use tokio::sync::broadcast::{self, error::RecvError};

use crate::job::{Notification, NotificationStream};

/// How many notifications a slow reader may be behind before it gets [`Notification::Lagged`] instead.
const BACKLOG: usize = 1024;

/// Where this process sends its notifications.
pub(super) fn channel() -> broadcast::Sender<Notification> {
    broadcast::channel(BACKLOG).0
}

/// The notifications from now on.
pub(super) fn stream_of(notifications: &broadcast::Sender<Notification>) -> NotificationStream {
    Box::pin(stream::unfold(notifications.subscribe(), |mut receiver| async {
        match receiver.recv().await {
            Ok(notification) => Some((notification, receiver)),
            Err(RecvError::Lagged(_)) => Some((Notification::Lagged, receiver)),
            Err(RecvError::Closed) => None,
        }
    }))
}

/// A notification as Postgres carries it.
pub(super) fn payload(notification: &Notification) -> String {
    match notification {
        Notification::Queued => "queued".to_owned(),
        Notification::Delivery => "delivery".to_owned(),
        Notification::Event(job) => job.to_string(),
        Notification::Lagged => "missed".to_owned(),
    }
}

/// The notification that a payload holds. One that no version of ours sent may be anything.
pub(super) fn read(payload: &str) -> Notification {
    match payload {
        "queued" => Notification::Queued,
        "delivery" => Notification::Delivery,
        job => job.parse().map_or(Notification::Lagged, Notification::Event),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::JobId;

    #[test]
    fn a_notification_survives_the_way_through_postgres() {
        for notification in [
            Notification::Queued,
            Notification::Delivery,
            Notification::Event(JobId::from_uuid(7)),
            Notification::Lagged,
        ] {
            assert_eq!(read(&payload(&notification)), notification);
        }
    }
}
