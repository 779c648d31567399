//! News of one process: what its own transactions and, on Postgres, those of others made true.

use futures_util::stream;
use tokio::sync::broadcast::{self, error::RecvError};

use crate::job::{News, NewsStream};

/// How much news a slow reader may be behind before he is told to look for himself.
const BACKLOG: usize = 1024;

/// Where news is told.
pub(super) fn channel() -> broadcast::Sender<News> {
    broadcast::channel(BACKLOG).0
}

/// What is told from now on.
pub(super) fn stream_of(news: &broadcast::Sender<News>) -> NewsStream {
    Box::pin(stream::unfold(news.subscribe(), |mut heard| async {
        match heard.recv().await {
            Ok(news) => Some((news, heard)),
            Err(RecvError::Lagged(_)) => Some((News::Missed, heard)),
            Err(RecvError::Closed) => None,
        }
    }))
}

/// News as Postgres carries it.
pub(super) fn payload(news: &News) -> String {
    match news {
        News::Queued => "queued".to_owned(),
        News::Delivery => "delivery".to_owned(),
        News::Event(job) => job.to_string(),
        News::Missed => "missed".to_owned(),
    }
}

/// The news that a payload holds. One that no version of ours sent is a reason to look.
pub(super) fn read(payload: &str) -> News {
    match payload {
        "queued" => News::Queued,
        "delivery" => News::Delivery,
        job => job.parse().map_or(News::Missed, News::Event),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::JobId;

    #[test]
    fn news_survives_the_way_through_postgres() {
        for news in [News::Queued, News::Delivery, News::Event(JobId::from_uuid(7)), News::Missed] {
            assert_eq!(read(&payload(&news)), news);
        }
    }
}
