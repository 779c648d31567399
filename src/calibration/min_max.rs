//! The range of all values seen: nothing is clipped, one outlier sets the scale.
//!
//! `max` of NVIDIA ModelOpt and, under symmetric quantization, `MinMax` of onnxruntime.

use super::{Calibrator, Observer, Range};

/// The row of this algorithm.
pub(super) const CALIBRATOR: Calibrator =
    Calibrator { name: "minmax", aliases: &["max"], observer: || Box::new(MinMax::default()) };

/// Keeps the extremes.
#[derive(Clone, Debug)]
pub struct MinMax {
    min: f32,
    max: f32,
    count: u64,
    not_finite: u64,
}

impl Default for MinMax {
    fn default() -> Self {
        MinMax { min: f32::INFINITY, max: f32::NEG_INFINITY, count: 0, not_finite: 0 }
    }
}

impl Observer for MinMax {
    fn observe(&mut self, values: &[f32]) {
        self.count += values.len() as u64;
        // Fixed lanes that vectorize; minimum and maximum do not depend on the order.
        const LANES: usize = 16;
        let (mut min, mut max, mut bad) = ([self.min; LANES], [self.max; LANES], [0u32; LANES]);
        for part in values.chunks(LANES) {
            for (lane, &x) in part.iter().enumerate() {
                let finite = x.abs() < f32::INFINITY;
                min[lane] = if finite && x < min[lane] { x } else { min[lane] };
                max[lane] = if finite && x > max[lane] { x } else { max[lane] };
                bad[lane] += u32::from(!finite);
            }
        }
        self.min = min.into_iter().fold(self.min, f32::min);
        self.max = max.into_iter().fold(self.max, f32::max);
        self.not_finite += bad.into_iter().map(u64::from).sum::<u64>();
    }

    fn range(&self) -> Option<Range> {
        let Self { min, max, count, not_finite } = *self;
        (min <= max).then(|| Range { min, max, amax: max.max(-min), count, not_finite })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observed(parts: &[&[f32]]) -> Option<Range> {
        let mut observer = MinMax::default();
        parts.iter().for_each(|part| observer.observe(part));
        observer.range()
    }

    #[test]
    fn batches_and_order_do_not_matter() {
        let values: Vec<f32> = (0..1000).map(|i| ((i * 7919) % 1009) as f32 - 400.5).collect();
        let whole = observed(&[&values]);
        for size in [1, 3, 16, 17, 999] {
            let mut parts: Vec<&[f32]> = values.chunks(size).collect();
            parts.reverse();
            assert_eq!(observed(&parts), whole);
        }
        let range = whole.expect("values were seen");
        assert_eq!(range.min, values.iter().copied().fold(f32::MAX, f32::min));
        assert_eq!(range.max, values.iter().copied().fold(f32::MIN, f32::max));
        assert_eq!((range.amax, range.count), (range.max, 1000));
    }

    #[test]
    fn values_that_are_not_finite_are_counted_and_left_out() {
        let range = observed(&[&[1.0, f32::NAN, -3.0, f32::INFINITY]]).unwrap();
        assert_eq!((range.min, range.max, range.amax, range.not_finite), (-3.0, 1.0, 3.0, 2));
        assert_eq!(observed(&[]), None);
        assert_eq!(observed(&[&[f32::NAN]]), None);
    }
}
