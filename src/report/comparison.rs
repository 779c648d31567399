//! [`Comparison`]: two models on the same samples, with labels or without.

use std::time::Duration;

use serde::Serialize;

use crate::quant::ErrorStats;

/// Counts right answers of a classifier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Right {
    /// Samples whose largest output is the label.
    pub top1: u64,
    /// Samples whose label is among the five largest outputs.
    pub top5: u64,
}

/// The outputs of an original and a quantized model, compared sample by sample.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    /// Each output's name and error, the original's values as the signal.
    pub outputs: Vec<(String, ErrorStats)>,
    /// Samples on which both models ran.
    pub samples: u64,
    /// Samples of a classifier whose largest output is the same.
    pub agreeing: u64,
    /// Samples that look like a classifier's: more than one value in the first output.
    pub ranked: u64,
    /// Of those, the ones with a label.
    pub labelled: u64,
    /// Whether there are so many classes that the five largest are not most of them.
    pub has_top5: bool,
    /// What the original got right.
    pub right_before: Right,
    /// What the quantized model got right.
    pub right_after: Right,
    /// How long both take.
    pub latency: Option<Latency>,
}

/// How long a sample takes on the machine that ran the job.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Latency {
    /// Milliseconds a sample, before.
    pub before_ms: f64,
    /// Milliseconds a sample, of the quantized model.
    pub after_ms: f64,
    /// `before_ms / after_ms`.
    pub speedup: f64,
    /// Samples of a batch.
    pub batch: usize,
    /// Threads of the engine.
    pub threads: usize,
    /// Which processor and runtime it was measured on, and what it says nothing of.
    pub measured_on: String,
}

impl Latency {
    /// From the time of a sample before and after, in `runtime` on this machine's CPU.
    pub fn new(before: Duration, after: Duration, batch: usize, threads: usize, runtime: &str) -> Self {
        let [before_ms, after_ms] = [before, after].map(|time| 1e3 * time.as_secs_f64());
        let measured_on = format!("the worker's CPU, {runtime}; says nothing of TensorRT or a GPU");
        Latency { before_ms, after_ms, speedup: before_ms / after_ms.max(1e-9), batch, threads, measured_on }
    }
}

/// How an output fares.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OutputReport {
    /// The output's name in the graph.
    pub name: String,
    /// SQNR in dB; null where it is infinite or undefined.
    pub sqnr_db: Option<f64>,
    /// Cosine between the values before and after.
    pub cosine: Option<f64>,
    /// The largest absolute error.
    pub max_abs_error: f64,
}

impl Comparison {
    /// Adds one sample of an output, of which `number` counts the outputs. Classes are counted on the first; `label` is the
    /// index of the right one.
    pub fn add(&mut self, number: usize, name: &str, before: &[f32], after: &[f32], label: Option<i64>) {
        if self.outputs.len() <= number {
            self.outputs.resize_with(number + 1, || (name.to_owned(), ErrorStats::default()));
        }
        let (_, error) = &mut self.outputs[number];
        before.iter().zip(after).for_each(|(&b, &a)| error.add(b, a));
        if number > 0 {
            return;
        }
        const FIVE: usize = 5;
        self.samples += 1;
        if before.len() < 2 {
            return;
        }
        self.ranked += 1;
        self.agreeing += u64::from(argmax(before) == argmax(after));
        let Some(label) = label else { return };
        self.labelled += 1;
        self.has_top5 = before.len() > FIVE;
        for (right, values) in [(&mut self.right_before, before), (&mut self.right_after, after)] {
            let label = usize::try_from(label).ok();
            right.top1 += u64::from(label == Some(argmax(values)));
            right.top5 += u64::from(label.is_some_and(|label| rank(values, label).is_some_and(|rank| rank < FIVE)));
        }
    }

    /// The error of all outputs together.
    pub fn total(&self) -> ErrorStats {
        let mut total = ErrorStats::default();
        self.outputs.iter().for_each(|(_, error)| total.merge(error));
        total
    }

    /// How each output fares.
    pub fn reports(&self) -> Vec<OutputReport> {
        let report = |(name, error): &(String, ErrorStats)| OutputReport {
            name: name.clone(),
            sqnr_db: error.sqnr_db(),
            cosine: error.cosine(),
            max_abs_error: error.max_abs_error,
        };
        self.outputs.iter().map(report).collect()
    }

    /// Share of samples whose largest output is the same.
    pub fn top1_agreement(&self) -> Option<f64> {
        (self.ranked > 0).then(|| self.agreeing as f64 / self.ranked as f64)
    }

    /// Accuracy before and after.
    pub fn accuracies(&self) -> Option<(f64, f64)> {
        self.shares(|right| right.top1)
    }

    /// Share of samples whose label is among the five largest outputs, before and after; for more than five classes.
    pub fn top5_accuracies(&self) -> Option<(f64, f64)> {
        self.shares(|right| right.top5).filter(|_| self.has_top5)
    }

    fn shares(&self, count: impl Fn(&Right) -> u64) -> Option<(f64, f64)> {
        let share = |right| count(right) as f64 / self.labelled as f64;
        (self.labelled > 0).then(|| (share(&self.right_before), share(&self.right_after)))
    }
}

/// The first index of the largest value.
fn argmax(values: &[f32]) -> usize {
    values.iter().enumerate().fold(0, |best, (i, v)| if *v > values[best] { i } else { best })
}

/// How many values are larger than that at `index`, or equal and before it; `None` if there is none there.
fn rank(values: &[f32], index: usize) -> Option<usize> {
    let at = *values.get(index)?;
    Some(values.iter().enumerate().filter(|&(i, &v)| v > at || v == at && i < index).count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_agreement_and_accuracy() {
        let mut c = Comparison::default();
        c.add(0, "y", &[0.0, 1.0], &[0.1, 0.9], Some(1));
        c.add(0, "y", &[0.0, 1.0], &[0.9, 0.1], Some(1));
        c.add(0, "y", &[3.0], &[3.0], None);
        assert_eq!((c.samples, c.top1_agreement(), c.accuracies()), (3, Some(0.5), Some((1.0, 0.5))));
        assert_eq!((c.top5_accuracies(), Comparison::default().accuracies()), (None, None));
    }

    #[test]
    fn the_five_largest_of_more_classes() {
        let mut c = Comparison::default();
        let before = [6.0, 5.0, 4.0, 3.0, 2.0, 1.0];
        let after = [1.0, 6.0, 5.0, 4.0, 3.0, 2.0];
        c.add(0, "y", &before, &after, Some(0));
        c.add(0, "y", &before, &before, Some(4));
        c.add(0, "y", &before, &before, Some(-1));
        assert_eq!((c.accuracies(), c.top5_accuracies()), (Some((1.0 / 3.0, 0.0)), Some((2.0 / 3.0, 1.0 / 3.0))));
    }

    #[test]
    fn outputs_are_told_apart() {
        let mut c = Comparison::default();
        c.add(0, "y", &[1.0, 2.0], &[1.0, 2.0], None);
        c.add(1, "z", &[1.0], &[0.0], None);
        assert_eq!(
            c.reports()[1],
            OutputReport { name: "z".into(), sqnr_db: Some(0.0), cosine: None, max_abs_error: 1.0 }
        );
        assert_eq!((c.samples, c.total().noise), (1, 1.0));
    }
}
