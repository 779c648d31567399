//! [`ErrorStats`]: how far decoded codes are from the values they replace.

use serde::{Deserialize, Serialize};

/// Sums over pairs of a value and its decoded code, from which the usual figures follow.
///
/// All sums are f64. [`ErrorStats::merge`] is not associative to the last bit, so parts are merged in a fixed order.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ErrorStats {
    /// Pairs that were counted.
    pub count: u64,
    /// Sum of the squared values.
    pub signal: f64,
    /// Sum of the squared errors.
    pub noise: f64,
    /// Sum of the squared decoded values.
    pub decoded: f64,
    /// The largest absolute error.
    pub max_abs_error: f64,
    /// Values that would round to a code beyond the format's range and were saturated.
    pub clipped: u64,
    /// Values other than 0 that decode to 0.
    pub underflowed: u64,
}

/// [`ErrorStats`] as they are stored, in the order of its fields; the floats by their bits, so that they come back exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBits([u64; 7]);

impl From<&ErrorStats> for ErrorBits {
    fn from(stats: &ErrorStats) -> Self {
        let ErrorStats { count, signal, noise, decoded, max_abs_error, clipped, underflowed } = *stats;
        let bits = f64::to_bits;
        ErrorBits([count, bits(signal), bits(noise), bits(decoded), bits(max_abs_error), clipped, underflowed])
    }
}

impl From<&ErrorBits> for ErrorStats {
    fn from(&ErrorBits([count, signal, noise, decoded, max_abs_error, clipped, underflowed]): &ErrorBits) -> Self {
        let float = f64::from_bits;
        ErrorStats {
            count,
            signal: float(signal),
            noise: float(noise),
            decoded: float(decoded),
            max_abs_error: float(max_abs_error),
            clipped,
            underflowed,
        }
    }
}

impl ErrorStats {
    /// Adds the sums of a later part.
    pub fn merge(&mut self, later: &ErrorStats) {
        self.count += later.count;
        self.signal += later.signal;
        self.noise += later.noise;
        self.decoded += later.decoded;
        self.max_abs_error = self.max_abs_error.max(later.max_abs_error);
        self.clipped += later.clipped;
        self.underflowed += later.underflowed;
    }

    /// Adds one pair; for comparing network outputs, where nothing is clipped.
    pub fn add(&mut self, value: f32, decoded: f32) {
        let (x, y) = (f64::from(value), f64::from(decoded));
        self.count += 1;
        self.signal += x * x;
        self.noise += (x - y) * (x - y);
        self.decoded += y * y;
        self.max_abs_error = self.max_abs_error.max((x - y).abs());
    }

    /// Signal to quantization noise ratio in dB; `None` where it is infinite or undefined (no noise or no signal).
    pub fn sqnr_db(&self) -> Option<f64> {
        (self.noise > 0.0 && self.signal > 0.0).then(|| 10.0 * (self.signal / self.noise).log10())
    }

    /// Cosine of the angle between the values and the decoded values; `None` if either is all zero.
    pub fn cosine(&self) -> Option<f64> {
        // The dot product follows from the other sums: |x − y|² = |x|² − 2 x·y + |y|².
        let dot = (self.signal + self.decoded - self.noise) / 2.0;
        let norms = self.signal.sqrt() * self.decoded.sqrt();
        (norms > 0.0).then(|| (dot / norms).clamp(-1.0, 1.0))
    }

    /// Mean squared error; `None` of nothing.
    pub fn mse(&self) -> Option<f64> {
        (self.count > 0).then(|| self.noise / self.count as f64)
    }

    /// `part` as a fraction of the number of values; `None` of nothing.
    pub fn fraction(&self, part: u64) -> Option<f64> {
        (self.count > 0).then(|| part as f64 / self.count as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_of_a_small_example() {
        let mut stats = ErrorStats::default();
        for (x, y) in [(3.0, 3.0), (-4.0, -3.0)] {
            stats.add(x, y);
        }
        assert_eq!(stats.sqnr_db(), Some(10.0 * 25f64.log10()));
        assert_eq!(stats.cosine(), Some((25.0 + 18.0 - 1.0) / 2.0 / (5.0 * 18f64.sqrt())));
        assert_eq!((stats.mse(), stats.max_abs_error), (Some(0.5), 1.0));
    }

    #[test]
    fn what_is_undefined_is_none() {
        let nothing = ErrorStats::default();
        assert_eq!((nothing.sqnr_db(), nothing.cosine(), nothing.mse(), nothing.fraction(0)), (None, None, None, None));
    }
}
