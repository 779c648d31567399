//! [`MemoryBudget`]: what a job may hold in memory of its own, beside the files it has mapped.

use std::sync::atomic::{AtomicU64, Ordering};

/// A count of bytes that buffers take from before they are allocated.
#[derive(Debug)]
pub struct MemoryBudget {
    limit: u64,
    used: AtomicU64,
}

/// A buffer would go beyond the budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{asked} bytes more than the {used} in use go beyond the memory budget of {limit} bytes")]
pub struct OverBudget {
    /// Bytes that the refused reservation asked for.
    pub asked: u64,
    /// Bytes that others held at that moment.
    pub used: u64,
    /// The budget, in bytes.
    pub limit: u64,
}

/// Bytes taken from a budget, given back when dropped.
#[derive(Debug)]
pub struct Reservation<'a> {
    budget: &'a MemoryBudget,
    bytes: u64,
}

impl MemoryBudget {
    /// The budget of a job that names none: 256 MiB.
    pub const DEFAULT: u64 = 256 << 20;

    /// A budget of `limit` bytes.
    pub fn new(limit: u64) -> Self {
        MemoryBudget { limit, used: AtomicU64::new(0) }
    }

    /// Takes `bytes`, or says that there are not as many left.
    pub fn reserve(&self, bytes: u64) -> Result<Reservation<'_>, OverBudget> {
        let add = |used: u64| used.checked_add(bytes).filter(|&sum| sum <= self.limit);
        match self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add) {
            Ok(_) => Ok(Reservation { budget: self, bytes }),
            Err(used) => Err(OverBudget { asked: bytes, used, limit: self.limit }),
        }
    }
}

impl Default for MemoryBudget {
    fn default() -> Self {
        MemoryBudget::new(Self::DEFAULT)
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_can_be_taken_again_and_no_more_than_the_limit() {
        let budget = MemoryBudget::new(100);
        let first = budget.reserve(60).unwrap();
        assert_eq!(budget.reserve(41).unwrap_err(), OverBudget { asked: 41, used: 60, limit: 100 });
        assert!(budget.reserve(u64::MAX).is_err());
        drop(first);
        assert!(budget.reserve(100).is_ok());
    }
}
