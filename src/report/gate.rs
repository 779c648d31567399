//! [`QualityGate`]: what a result should reach. One that does not is reported, and kept.

use serde::{Deserialize, Serialize};

use super::Summary;

/// What a result should reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QualityGate {
    /// The least SQNR of the outputs, in dB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_output_sqnr_db: Option<f64>,
    /// The largest loss of accuracy, as a fraction: 0.01 is one point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_accuracy_drop: Option<f64>,
}

/// Whether it was reached.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GateResult {
    /// Whether every condition holds.
    pub passed: bool,
    /// Those that do not, one sentence each.
    pub failures: Vec<String>,
}

impl QualityGate {
    /// Judges a result. `None` if nothing was asked for; a figure that was not measured does not pass.
    pub fn judge(&self, summary: &Summary) -> Option<GateResult> {
        let mut failures = Vec::new();
        let mut ask = |limit: Option<f64>, name: &str, found: Option<f64>, holds: fn(f64, f64) -> bool| {
            let Some(limit) = limit else { return };
            match found {
                None => failures.push(format!("{name} was not measured; the job has no data for it")),
                Some(found) if !holds(found, limit) => {
                    failures.push(format!("{name} is {found:.4}, the limit {limit}"))
                }
                Some(_) => {}
            }
        };
        // No noise at all is an infinite ratio, which is not a number in the report.
        let perfect = summary.output_cosine.is_some() && summary.output_sqnr_db.is_none();
        let sqnr = if perfect { Some(f64::INFINITY) } else { summary.output_sqnr_db };
        ask(self.min_output_sqnr_db, "output_sqnr_db", sqnr, |found, limit| found >= limit);
        ask(self.max_accuracy_drop, "accuracy_drop", summary.accuracy_drop, |found, limit| found <= limit);
        (*self != QualityGate::default()).then_some(GateResult { passed: failures.is_empty(), failures })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_inclusive_and_what_was_not_measured_fails() {
        let gate = QualityGate { min_output_sqnr_db: Some(20.0), max_accuracy_drop: Some(0.01) };
        let mut summary = Summary { output_sqnr_db: Some(20.0), accuracy_drop: Some(0.01), ..Summary::default() };
        assert_eq!(gate.judge(&summary), Some(GateResult { passed: true, failures: vec![] }));
        summary.output_sqnr_db = Some(19.9);
        summary.accuracy_drop = None;
        assert_eq!(gate.judge(&summary).map(|r| (r.passed, r.failures.len())), Some((false, 2)));
        assert_eq!(QualityGate::default().judge(&summary), None);
    }
}
