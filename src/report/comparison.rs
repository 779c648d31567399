//! [`Comparison`]: two models on the same samples, with labels or without.

use crate::quant::ErrorStats;

/// Counts right answers of a classifier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accuracy {
    /// Samples with a label.
    pub labelled: u64,
    /// Of those, the ones the original got right.
    pub right_before: u64,
    /// Of those, the ones the quantized model got right.
    pub right_after: u64,
}

/// The outputs of an original and a quantized model, compared sample by sample.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    /// All output values, the original's as the signal.
    pub outputs: ErrorStats,
    /// Samples compared.
    pub samples: u64,
    /// Samples of a classifier whose largest output is the same.
    pub agreeing: u64,
    /// Samples that look like a classifier's: more than one output value.
    pub ranked: u64,
    /// Against labels.
    pub accuracy: Accuracy,
}

impl Comparison {
    /// Adds one sample's outputs; `label` is the index of the right class.
    pub fn add(&mut self, before: &[f32], after: &[f32], label: Option<i64>) {
        self.samples += 1;
        before.iter().zip(after).for_each(|(&b, &a)| self.outputs.add(b, a));
        if before.len() < 2 {
            return;
        }
        let (first, second) = (argmax(before), argmax(after));
        self.ranked += 1;
        self.agreeing += u64::from(first == second);
        if let Some(label) = label {
            self.accuracy.labelled += 1;
            self.accuracy.right_before += u64::from(i64::try_from(first) == Ok(label));
            self.accuracy.right_after += u64::from(i64::try_from(second) == Ok(label));
        }
    }

    /// Share of samples whose largest output is the same.
    pub fn top1_agreement(&self) -> Option<f64> {
        (self.ranked > 0).then(|| self.agreeing as f64 / self.ranked as f64)
    }

    /// Accuracy before and after.
    pub fn accuracies(&self) -> Option<(f64, f64)> {
        let Accuracy { labelled, right_before, right_after } = self.accuracy;
        let share = |right: u64| right as f64 / labelled as f64;
        (labelled > 0).then(|| (share(right_before), share(right_after)))
    }
}

/// The first index of the largest value.
fn argmax(values: &[f32]) -> usize {
    values.iter().enumerate().fold(0, |best, (i, v)| if *v > values[best] { i } else { best })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_agreement_and_accuracy() {
        let mut c = Comparison::default();
        c.add(&[0.0, 1.0], &[0.1, 0.9], Some(1));
        c.add(&[0.0, 1.0], &[0.9, 0.1], Some(1));
        c.add(&[3.0], &[3.0], None);
        assert_eq!((c.samples, c.top1_agreement(), c.accuracies()), (3, Some(0.5), Some((1.0, 0.5))));
        assert_eq!(Comparison::default().accuracies(), None);
    }
}
