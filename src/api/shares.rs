//! [`Shares`]: how many of something each caller holds at a time, so that one leaves something to the others.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// What is held, by caller.
#[derive(Debug)]
pub struct Shares {
    most: usize,
    held: Mutex<HashMap<String, usize>>,
}

/// One of what a caller holds, until it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    shares: Arc<Shares>,
    caller: String,
}

impl Shares {
    /// At most so many of one caller.
    pub fn new(most: usize) -> Self {
        Shares { most, held: Mutex::default() }
    }

    /// One more of a caller; none if it has as many as it may.
    pub(super) fn take(self: &Arc<Self>, caller: String) -> Option<Share> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.entry(caller.clone()).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Share { shares: Arc::clone(self), caller })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut held = self.shares.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(&self.caller) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_holds_so_many_and_none_is_remembered_once_all_are_back() {
        let shares = Arc::new(Shares::new(2));
        let take = |caller: &str| shares.take(caller.to_owned());
        let (first, second) = (take("a").unwrap(), take("a").unwrap());
        assert!(take("a").is_none() && take("b").is_some());
        drop(first);
        let third = take("a").unwrap();
        drop((second, third));
        assert!(shares.held.lock().unwrap().is_empty());
    }
}
