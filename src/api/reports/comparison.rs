//! [`Comparison`]: two reports side by side.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

/// A figure of two reports.
#[derive(Debug, Serialize, ToSchema)]
struct Difference {
    /// Of the first job.
    a: Option<f64>,
    /// Of the second job.
    b: Option<f64>,
    /// Second minus first; null unless both have it.
    change: Option<f64>,
}

impl Difference {
    fn of(a: &Value, b: &Value) -> Self {
        let (a, b) = (a.as_f64(), b.as_f64());
        Difference { a, b, change: a.zip(b).map(|(a, b)| b - a) }
    }
}

/// A layer in two reports.
#[derive(Debug, Serialize, ToSchema)]
struct LayerDifference {
    /// The layer's name, the same in both jobs.
    name: String,
    /// What the first job did with it; null if it has no such layer.
    decision_a: Option<String>,
    /// What the second job did with it.
    decision_b: Option<String>,
    /// SQNR of its weights, in dB.
    weights_sqnr_db: Difference,
    /// SQNR of its output, in dB.
    output_sqnr_db: Difference,
}

/// Two reports side by side.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Comparison {
    /// The id of the first job.
    a: String,
    /// The id of the second job.
    b: String,
    /// Every figure of the summaries.
    #[schema(value_type = BTreeMap<String, Difference>)]
    summary: BTreeMap<String, Difference>,
    /// Layers that differ in decision or figures, the largest change of SQNR first.
    layers: Vec<LayerDifference>,
    /// How many layers are the same in both.
    layers_equal: usize,
    /// Whether both jobs read the same model, by its digest; null where a digest is missing.
    same_model: Option<bool>,
}

impl Comparison {
    /// Compares two reports, each given with its job's id.
    pub(super) fn of(first: (String, &Value), second: (String, &Value)) -> Self {
        let ((a_id, a), (b_id, b)) = (first, second);
        let (mut layers, layers_equal) = layers(a, b);
        layers.sort_by(|x, y| size(y).total_cmp(&size(x)));
        let empty = serde_json::Map::new();
        let fields =
            |report: &Value| report["summary"].as_object().unwrap_or(&empty).keys().cloned().collect::<Vec<_>>();
        let names = fields(a).into_iter().chain(fields(b));
        let numbers = names.filter(|name| a["summary"][name].is_number() || b["summary"][name].is_number());
        let summary = numbers.map(|name| {
            let difference = Difference::of(&a["summary"][&name], &b["summary"][&name]);
            (name, difference)
        });
        let digests = |report: &Value| {
            let files = report["inputs"]["model"].as_array()?;
            let all: Vec<Value> = files.iter().map(|file| file["sha256"].clone()).collect();
            all.iter().all(Value::is_string).then_some(all)
        };
        Comparison {
            summary: summary.collect(),
            same_model: digests(a).zip(digests(b)).map(|(a, b)| a == b),
            a: a_id,
            b: b_id,
            layers,
            layers_equal,
        }
    }
}

fn layers(a: &Value, b: &Value) -> (Vec<LayerDifference>, usize) {
    let of = |report: &Value| report["layers"].as_array().cloned().unwrap_or_default();
    let by_name = |layers: &[Value]| -> BTreeMap<String, Value> {
        layers.iter().map(|layer| (layer["name"].as_str().unwrap_or_default().to_owned(), layer.clone())).collect()
    };
    let (first, second) = (of(a), of(b));
    let (in_a, in_b) = (by_name(&first), by_name(&second));
    let new = second.iter().filter(|layer| !in_a.contains_key(layer["name"].as_str().unwrap_or_default()));
    let names = first.iter().chain(new).filter_map(|layer| layer["name"].as_str());
    let (mut different, mut equal) = (Vec::new(), 0);
    for name in names {
        let nothing = json!({});
        let (x, y) = (in_a.get(name).unwrap_or(&nothing), in_b.get(name).unwrap_or(&nothing));
        let weights = |layer: &Value| layer["weights"]["sqnr_db"].clone();
        let same = ["decision", "output_sqnr_db"].iter().all(|field| x[field] == y[field]) && weights(x) == weights(y);
        if same {
            equal += 1;
            continue;
        }
        let decision = |layer: &Value| layer["decision"].as_str().map(str::to_owned);
        different.push(LayerDifference {
            name: name.to_owned(),
            decision_a: decision(x),
            decision_b: decision(y),
            weights_sqnr_db: Difference::of(&weights(x), &weights(y)),
            output_sqnr_db: Difference::of(&x["output_sqnr_db"], &y["output_sqnr_db"]),
        });
    }
    (different, equal)
}

fn size(layer: &LayerDifference) -> f64 {
    let changes = [layer.weights_sqnr_db.change, layer.output_sqnr_db.change];
    changes.into_iter().flatten().map(f64::abs).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(output: f64, decision: &str) -> Value {
        let same = json!({"name": "same", "decision": "native"});
        let changed =
            json!({"name": "changed", "decision": decision, "output_sqnr_db": output, "weights": {"sqnr_db": 40.0}});
        json!({"summary": {"bytes_after": output, "title": "x"}, "layers": [same, changed],
            "inputs": {"model": [{"sha256": "aa"}]}})
    }

    #[test]
    fn what_is_equal_is_counted_and_what_differs_is_listed() {
        let (a, b) = (report(30.0, "quantized"), report(20.0, "native"));
        let compared = Comparison::of(("qj_a".to_owned(), &a), ("qj_b".to_owned(), &b));
        assert_eq!((compared.layers_equal, compared.same_model), (1, Some(true)));
        let names: Vec<&str> = compared.layers.iter().map(|layer| &*layer.name).collect();
        assert_eq!(names, ["changed"]);
        assert_eq!(compared.layers[0].output_sqnr_db.change, Some(-10.0));
        assert_eq!(compared.layers[0].decision_b.as_deref(), Some("native"));
        assert_eq!(compared.summary.keys().collect::<Vec<_>>(), ["bytes_after"], "figures alone");
    }

    #[test]
    fn the_largest_change_comes_first() {
        let layer = |name: &str, output: f64| json!({"name": name, "output_sqnr_db": output});
        let report = |x: f64, y: f64| json!({"layers": [layer("x", x), layer("y", y)]});
        let (a, b) = (report(10.0, 10.0), report(9.0, 30.0));
        let compared = Comparison::of((String::new(), &a), (String::new(), &b));
        let names: Vec<&str> = compared.layers.iter().map(|layer| &*layer.name).collect();
        assert_eq!(names, ["y", "x"]);
        assert_eq!(compared.same_model, None, "no digests");
    }
}
