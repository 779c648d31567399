//! [`Stopwatch`]: how long a model takes for a sample.

use std::time::{Duration, Instant};

/// How long a sample takes, by the median of all batches but the first, which finds memory.
#[derive(Debug, Default)]
pub(super) struct Stopwatch(Vec<Duration>);

impl Stopwatch {
    pub(super) fn time<R>(&mut self, samples: usize, run: impl FnOnce() -> R) -> R {
        let began = Instant::now();
        let result = run();
        self.0.push(began.elapsed() / u32::try_from(samples.max(1)).unwrap_or(u32::MAX));
        result
    }

    pub(super) fn per_sample(&self) -> Option<Duration> {
        let mut times = self.0.get(1..)?.to_vec();
        times.sort();
        times.get(times.len() / 2).copied()
    }
}
