//! Independent pieces of work on all threads.

use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;

use crate::backend::BackendError;

/// Runs tasks on all threads and gives what each of them gave, in their order. Of several errors the first in order is the
/// one returned, save that an error of the surroundings stops the tasks not yet begun: a weight that cannot be quantized
/// is the same on every run, while a full disk, a budget or a cancellation would only be met again.
pub(super) fn run_all<T: Sync, R: Send>(
    tasks: &[T],
    run: impl Fn(&T) -> Result<R, BackendError> + Sync,
) -> Result<Vec<R>, BackendError> {
    let stop = AtomicBool::new(false);
    let results: Vec<Option<Result<R, BackendError>>> = tasks
        .par_iter()
        .map(|task| {
            if stop.load(Ordering::Relaxed) {
                return None;
            }
            let result = run(task);
            if matches!(&result, Err(error) if !matches!(error, BackendError::Weight { .. })) {
                stop.store(true, Ordering::Relaxed);
            }
            Some(result)
        })
        .collect();
    results.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;
    use crate::{control::Cancelled, quant::QuantError};

    fn bad_weight(row: usize) -> BackendError {
        BackendError::Weight { tensor: "w".to_owned(), source: QuantError::NotFinite { row, column: 0 } }
    }

    #[test]
    fn results_come_in_the_order_of_the_tasks() {
        let tasks: Vec<usize> = (0..1000).collect();
        assert_eq!(run_all(&tasks, |task| Ok(task * 2)).unwrap(), (0..2000).step_by(2).collect::<Vec<_>>());
    }

    #[test]
    fn the_first_bad_weight_in_order_is_the_one_named() {
        let tasks: Vec<usize> = (0..1000).collect();
        let error = run_all(&tasks, |&task| if task % 100 == 77 { Err(bad_weight(task)) } else { Ok(()) }).unwrap_err();
        assert!(
            matches!(error, BackendError::Weight { source: QuantError::NotFinite { row: 77, .. }, .. }),
            "{error:?}"
        );
    }

    #[test]
    fn a_cancellation_ends_what_has_not_begun() {
        let begun = AtomicUsize::new(0);
        let tasks = vec![(); 10_000];
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        let result = pool.install(|| {
            run_all(&tasks, |()| {
                begun.fetch_add(1, Ordering::Relaxed);
                Err::<(), _>(BackendError::Cancelled(Cancelled))
            })
        });
        assert!(matches!(result, Err(BackendError::Cancelled(_))));
        assert!(begun.into_inner() <= 2, "each thread begins one at the most");
    }
}
