//! Several shards at a time.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use rayon::prelude::*;

use crate::backend::BackendError;

/// Does `count` things, two at a time, in order: the system lets one thread at a time write to a file, so that two threads
/// need two files to write to. The first error in order is returned; after one, nothing more is begun.
pub(super) fn in_lanes<T: Send>(
    count: usize,
    one: impl Fn(usize) -> Result<T, BackendError> + Sync,
) -> Result<Vec<T>, BackendError> {
    const LANES: usize = 2;
    let next = AtomicUsize::new(0);
    let done: Vec<Mutex<Option<Result<T, BackendError>>>> = (0..count).map(|_| Mutex::new(None)).collect();
    (0..LANES).into_par_iter().for_each(|_| {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(place) = done.get(at) else { return };
            let result = one(at);
            if result.is_err() {
                next.store(count, Ordering::Relaxed);
            }
            *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        }
    });
    done.into_iter().filter_map(|result| result.into_inner().unwrap_or_else(PoisonError::into_inner)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Cancelled;

    #[test]
    fn results_come_in_order() {
        assert_eq!(in_lanes(7, |at| Ok(at * at)).unwrap(), [0, 1, 4, 9, 16, 25, 36]);
        assert_eq!(in_lanes(0, Ok).unwrap(), Vec::<usize>::new());
    }

    #[test]
    fn after_an_error_nothing_more_is_begun() {
        let begun = AtomicUsize::new(0);
        let result = in_lanes(1000, |at| {
            begun.fetch_add(1, Ordering::Relaxed);
            if at == 3 { Err(BackendError::Cancelled(Cancelled)) } else { Ok(at) }
        });
        assert!(matches!(result, Err(BackendError::Cancelled(_))));
        assert!(begun.into_inner() < 1000);
    }
}
