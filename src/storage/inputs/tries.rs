//! [`Tries`]: how often, and for how long, something is asked of a place again.

use std::time::{Duration, Instant};

use crate::storage::places::ReadError;

/// Tries of a part, beside those that the place's own client makes.
const TRIES: u32 = 6;
/// After which no other try is made: those of the client may take long as well.
const PATIENCE: Duration = Duration::from_secs(30);

/// The waits between tries.
pub(super) struct Tries {
    count: u32,
    began: Instant,
}

impl Default for Tries {
    fn default() -> Self {
        Tries { count: 0, began: Instant::now() }
    }
}

impl Tries {
    /// Waits, if another try is worth it.
    pub(super) async fn next(&mut self, error: ReadError) -> Result<(), ReadError> {
        self.count += 1;
        if !error.passes() || self.count >= TRIES || self.began.elapsed() > PATIENCE {
            return Err(error);
        }
        tracing::debug!(?error, "a part is tried again");
        tokio::time::sleep(Duration::from_millis(100 << self.count)).await;
        Ok(())
    }
}
