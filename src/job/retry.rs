//! [`RetryPolicy`]: when a failed job is tried again.

use std::time::Duration;

use super::Failure;

/// When a job that failed for a reason outside itself is tried again.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    /// The wait before the second attempt; it doubles from there.
    pub first: Duration,
    /// The longest wait between two attempts, at which it stops doubling.
    pub longest: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        RetryPolicy { first: Duration::from_secs(2), longest: Duration::from_secs(300) }
    }
}

impl RetryPolicy {
    /// How long to wait after `attempt` failed, or `None` if the job has failed for good. `jitter` in 0..1 spreads jobs
    /// that failed together over half of the wait.
    pub fn wait(&self, failure: &Failure, attempt: i64, max_attempts: i64, jitter: f64) -> Option<Duration> {
        if !failure.retryable || attempt >= max_attempts {
            return None;
        }
        let doublings = u32::try_from(attempt - 1).unwrap_or(0).min(20);
        let full = self.first.saturating_mul(1 << doublings).min(self.longest);
        Some(full.mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::FaultCode;

    #[test]
    fn waits_double_up_to_the_longest_and_end_with_the_attempts() {
        let policy = RetryPolicy { first: Duration::from_secs(2), longest: Duration::from_secs(10) };
        let failure = Failure::plain(FaultCode::DiskFull, "x");
        let waits: Vec<_> = (1..=6).map(|n| policy.wait(&failure, n, 6, 1.0).map(|d| d.as_secs())).collect();
        assert_eq!(waits, [Some(2), Some(4), Some(8), Some(10), Some(10), None]);
        assert_eq!(policy.wait(&failure, 1, 6, 0.0), Some(Duration::from_secs(1)));
        assert_eq!(policy.wait(&Failure::plain(FaultCode::ModelCorrupt, "x"), 1, 6, 0.0), None);
        assert!(policy.wait(&failure, i64::MAX - 1, i64::MAX, 0.5).is_some());
    }
}
