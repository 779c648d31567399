//! A report as a table for people.

use serde_json::Value;

/// The figures of a report that fit a screen; `report` is the JSON of `report.json`.
pub(super) fn table(report: &Value) -> String {
    let summary = &report["summary"];
    let number = |key: &str| summary[key].as_f64();
    let mut rows: Vec<(&str, String)> = vec![
        (
            "size",
            format!(
                "{} -> {} ({:.2}x smaller)",
                bytes(number("bytes_before")),
                bytes(number("bytes_after")),
                number("compression").unwrap_or(0.0)
            ),
        ),
        ("layers", format!("{} quantized, {} left native", summary["layers_quantized"], summary["layers_native"])),
    ];
    if let (Some(before), Some(after)) = (number("accuracy_before"), number("accuracy_after")) {
        let drop = 100.0 * (before - after);
        let text = format!("{:.2} % -> {:.2} % ({:+.2} points)", 100.0 * before, 100.0 * after, 0.0 - drop);
        rows.push(("top-1", text));
    }
    if let Some(agreement) = number("top1_agreement") {
        rows.push(("agreement", format!("{:.2} % of samples have the same top-1", 100.0 * agreement)));
    }
    if let Some(sqnr) = number("output_sqnr_db") {
        rows.push(("output SQNR", format!("{sqnr:.1} dB")));
    }
    let worst: Vec<String> = worst_layers(report).into_iter().map(|(name, db)| format!("{name} {db:.1} dB")).collect();
    if !worst.is_empty() {
        rows.push(("worst weights", worst.join(", ")));
    }
    let latency = &report["latency"];
    if let (Some(before), Some(after)) = (latency["before_ms"].as_f64(), latency["after_ms"].as_f64()) {
        let place = latency["measured_on"].as_str().and_then(|place| place.split(';').next()).unwrap_or_default();
        rows.push(("CPU latency", format!("{before:.2} ms -> {after:.2} ms a sample; {place}")));
    }
    let suggestion = &report["sensitivity"]["suggestion"];
    if let (false, Some(gain)) = (suggestion["skip_names"].is_null(), suggestion["gain_db"].as_f64()) {
        let grown = bytes(suggestion["bytes_added"].as_f64());
        rows.push(("suggestion", format!("skip_names {} gains {gain:.1} dB for {grown}", suggestion["skip_names"])));
    }
    if let (Some(calibrated), evaluated) = (number("samples_calibrated"), number("samples_evaluated").unwrap_or(0.0)) {
        rows.push(("samples", format!("{calibrated} calibrated, {evaluated} evaluated")));
    }
    let phases = summary["seconds"].as_object().into_iter().flatten();
    let total: f64 = phases.filter_map(|(_, seconds)| seconds.as_f64()).sum();
    rows.push(("time", format!("{total:.2} s")));
    rows.push(("peak memory", bytes(number("peak_rss_bytes"))));
    let lines = rows.into_iter().map(|(name, text)| format!("  {name:<14} {text}\n"));
    let warnings = report["warnings"].as_array().into_iter().flatten();
    let warnings = warnings.filter_map(|w| w["message"].as_str()).map(|text| format!("  {:<14} {text}\n", "warning"));
    lines.chain(warnings).collect()
}

/// The three weights with the least SQNR.
fn worst_layers(report: &Value) -> Vec<(String, f64)> {
    let layers = report["layers"].as_array().into_iter().flatten();
    let mut rated: Vec<(String, f64)> = layers
        .filter_map(|layer| Some((layer["name"].as_str()?.to_owned(), layer["weights"]["sqnr_db"].as_f64()?)))
        .collect();
    rated.sort_by(|a, b| a.1.total_cmp(&b.1));
    rated.truncate(3);
    rated
}

/// A number of bytes in the unit that suits it.
pub(super) fn bytes(count: Option<f64>) -> String {
    let Some(count) = count else { return "unknown".to_owned() };
    let (divisor, unit) = match count {
        c if c >= 1e9 => (1e9, "GB"),
        c if c >= 1e6 => (1e6, "MB"),
        c if c >= 1e3 => (1e3, "kB"),
        _ => (1.0, "B"),
    };
    format!("{:.1} {unit}", count / divisor)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_not_measured_has_no_row() {
        let report = json!({"summary": {"bytes_before": 4000, "bytes_after": 1000, "compression": 4.0,
            "layers_quantized": 2, "layers_native": 1, "output_sqnr_db": null, "seconds": {"quantizing": 0.5}},
            "layers": [{"name": "a", "weights": {"sqnr_db": 40.0}}, {"name": "b", "weights": null}], "warnings": [],
            "latency": null, "sensitivity": null});
        let text = table(&report);
        assert!(!text.contains("latency") && !text.contains("suggestion"), "{text}");
        let mut timed = report.clone();
        timed["latency"] =
            json!({"before_ms": 2.0, "after_ms": 0.5, "measured_on": "a CPU, OpenVINO 2026.4.1; not a GPU"});
        assert!(table(&timed).contains("2.00 ms -> 0.50 ms a sample; a CPU, OpenVINO 2026.4.1\n"), "{}", table(&timed));
        let mut studied = report.clone();
        studied["sensitivity"] = json!({"suggestion": {"skip_names": ["a"], "gain_db": 3.25, "bytes_added": 1500}});
        assert!(table(&studied).contains("skip_names [\"a\"] gains 3.2 dB for 1.5 kB"), "{}", table(&studied));
        assert!(text.contains("4.0 kB -> 1.0 kB (4.00x smaller)"), "{text}");
        assert!(text.contains("a 40.0 dB") && text.contains("0.50 s"), "{text}");
        assert!(!text.contains("top-1") && !text.contains("SQNR"), "{text}");
    }
}
