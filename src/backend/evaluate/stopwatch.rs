//! [`Stopwatch`]: how long a model takes for a sample.

use std::time::{Duration, Instant};

use crate::engine::Batch;

/// The batches over and over, until they tell how long one takes: for a moment, so that the clock of a small model is not all
/// noise, and not for long.
pub(super) fn rounds(batches: &[Batch]) -> impl Iterator<Item = &Batch> {
    const ENOUGH: Duration = Duration::from_millis(150);
    const LONGEST: Duration = Duration::from_secs(10);
    let began = Instant::now();
    let go_on = move |round: usize| match round {
        0..3 => true,
        3..7 => began.elapsed() < LONGEST,
        7..100 => began.elapsed() < ENOUGH,
        _ => false,
    };
    batches.iter().cycle().enumerate().take_while(move |(round, _)| go_on(*round)).map(|(_, batch)| batch)
}

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
