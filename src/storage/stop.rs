//! [`until_cancelled`]: transfers that end when their job does.

use std::time::Duration;

use crate::control::{Cancelled, Canceller};

/// Does some work, which is dropped between two of its steps soon after the job is cancelled.
pub(super) async fn until_cancelled<T>(canceller: &Canceller, work: impl Future<Output = T>) -> Result<T, Cancelled> {
    const LOOK: Duration = Duration::from_millis(100);
    let cancelled = async {
        while !canceller.is_cancelled() {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::select! {
        result = work => Ok(result),
        () = cancelled => Err(Cancelled),
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[tokio::test]
    async fn work_ends_by_itself_or_with_its_job() {
        let canceller = Canceller::default();
        assert_eq!(until_cancelled(&canceller, async { 1 }).await, Ok(1));
        canceller.cancel();
        assert_eq!(until_cancelled(&canceller, pending::<i32>()).await, Err(Cancelled));
    }
}
