//! [`Probe`]: some of a tensor's values in one pass, compared with those in another.

use crate::{
    calibration::{Activation, Observer},
    quant::ErrorStats,
};

/// Values kept of a tensor in one batch: enough for a ratio that is right to some tenths of a decibel in one batch, and to one in several.
const KEPT: usize = 1 << 12;

/// Keeps values spread over a tensor, and compares later passes over the same batches with them.
#[derive(Debug, Default)]
pub(super) struct Probe {
    kept: Vec<f32>,
    /// The next value to compare with; `None` while they are being kept.
    next: Option<usize>,
    /// What the comparison found.
    pub(super) error: ErrorStats,
}

impl Probe {
    /// From now on values are compared with those kept, from the first batch on.
    pub(super) fn compare(&mut self) {
        self.next = Some(0);
        self.error = ErrorStats::default();
    }
}

impl Observer for Probe {
    fn observe(&mut self, seen: Activation<'_>) {
        let seen = seen.values.iter().step_by(stride(seen.values.len()));
        let Some(next) = &mut self.next else { return self.kept.extend(seen) };
        for (before, after) in self.kept.iter().skip(*next).zip(seen) {
            self.error.add(*before, *after);
            *next += 1;
        }
    }
}

/// A step that has no factor in common with the length, so that it meets every channel and every position.
fn stride(len: usize) -> usize {
    let gcd = |mut a: usize, mut b: usize| {
        while b > 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    (len / KEPT.max(1)..).skip(1).find(|&step| gcd(len, step) == 1).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn see(probe: &mut Probe, values: &[f32]) {
        probe.observe(Activation { values, dims: &[values.len()] });
    }

    #[test]
    fn what_is_kept_is_spread_and_compared_batch_by_batch() {
        let batch = |shift: f32| (0..40_000).map(|i| i as f32 + shift).collect::<Vec<_>>();
        let mut probe = Probe::default();
        see(&mut probe, &batch(0.0));
        see(&mut probe, &batch(7.0));
        assert!(probe.kept.len() > 2 * KEPT / 2 && probe.kept.len() <= 2 * KEPT);
        probe.compare();
        see(&mut probe, &batch(1.0));
        see(&mut probe, &batch(6.0));
        assert_eq!((probe.error.count, probe.error.noise), (probe.kept.len() as u64, probe.kept.len() as f64));
        let evens = probe.kept.iter().filter(|x| (**x as usize).is_multiple_of(2)).count();
        assert!(evens > KEPT / 2 && probe.kept.len() - evens > KEPT / 2);
    }

    #[test]
    fn small_tensors_are_kept_whole() {
        for len in [0, 1, 2, 100] {
            let mut probe = Probe::default();
            see(&mut probe, &vec![1.0; len]);
            assert_eq!(probe.kept.len(), len);
        }
    }
}
