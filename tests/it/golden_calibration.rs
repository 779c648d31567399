//! The searches of the calibrators against ModelOpt's on ModelOpt's own histograms, and where it is wrong, the difference.

use std::path::Path;

use ptqd::{
    calibration::{Sides, entropy, mse, percentile},
    numeric::{DType, FloatFormat},
    quant::{Granularity, MinMax, ScaleRule, Scheme, qparams},
};
use serde_json::Value;

use crate::support::Golden;

struct Case {
    name: String,
    counts: Vec<u64>,
    edges: Vec<f64>,
    expected: Value,
}

impl Case {
    /// The edge nearest to a number of ModelOpt's, which it rounded to f32.
    fn bin_of(&self, edge: &Value) -> usize {
        let edge = edge.as_f64().unwrap();
        (0..self.edges.len())
            .min_by(|&a, &b| (self.edges[a] - edge).abs().total_cmp(&(self.edges[b] - edge).abs()))
            .unwrap()
    }
}

fn cases() -> Vec<Case> {
    let golden = Golden::open("modelopt_calib.safetensors");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/modelopt_calib.json");
    let expected: serde_json::Map<String, Value> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let eights = |name: String| golden.bytes(&name).as_chunks::<8>().0.to_vec();
    expected
        .into_iter()
        .map(|(name, expected)| Case {
            counts: eights(format!("{name}.hist")).iter().map(|x| u64::from_le_bytes(*x)).collect(),
            edges: eights(format!("{name}.edges")).iter().map(|x| f64::from_le_bytes(*x)).collect(),
            name,
            expected,
        })
        .collect()
}

#[test]
fn entropy_finds_modelopts_threshold_in_every_histogram_searched_bin_by_bin() {
    let mut compared = 0;
    for case in cases() {
        let expected = &case.expected["entropy_stride1_start128"];
        if expected.is_null() {
            continue;
        }
        assert_eq!(entropy::threshold(&case.counts, DType::Int8), Some(case.bin_of(expected)), "{}", case.name);
        compared += 1;
    }
    assert_eq!(compared, 12);
}

#[test]
fn percentile_is_modelopts_one_bin_up_so_that_the_share_fits() {
    for case in cases() {
        let percentiles = case.expected["percentile"].as_object().unwrap();
        for (percent, edge) in percentiles.iter().filter(|(percent, _)| *percent != "100.0") {
            let ours = percentile::threshold(&case.counts, percent.parse().unwrap()).unwrap();
            assert_eq!(ours, case.bin_of(edge) + 1, "{} {percent}", case.name);
        }
        assert_eq!(
            percentile::threshold(&case.counts, 100.0),
            case.counts.iter().rposition(|&n| n > 0).map(|bin| bin + 1)
        );
    }
}

#[test]
fn mse_is_what_modelopt_documents_and_not_what_its_mixed_up_arguments_give() {
    let mut compared = 0;
    for case in cases().into_iter().filter(|case| !case.expected["mse_bug"].is_null()) {
        let width = case.edges[1] - case.edges[0];
        for (key, dtype) in [("int8", DType::Int8), ("fp8", DType::Fp8E4m3fn)] {
            let expected = case.expected["mse_fixed_argument_order"][key].as_f64().unwrap();
            let found = mse::threshold(&case.counts, dtype).unwrap() * width;
            // ModelOpt quantizes in f32, so a neighbour whose error is the same to 7 digits may win.
            assert!((found - expected).abs() <= 1.5 * width, "{} {key}: {found} {expected}", case.name);
            let bug = case.expected["mse_bug"].as_f64().unwrap();
            assert!(found > 2.0 * bug, "{} {key}: {found} {bug}", case.name);
            compared += 1;
        }
    }
    assert_eq!(compared, 22);
}

/// What onnxruntime finds of each distribution.
fn onnxruntimes() -> serde_json::Map<String, Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/ort_ranges.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

#[test]
fn a_range_has_onnxruntimes_scale_and_zero_point_of_uint8() {
    let scheme = Scheme { rule: ScaleRule::RangeOverSteps, ..Scheme::onnx(DType::Int8, Granularity::PerTensor) };
    for (name, expected) in onnxruntimes() {
        let range = MinMax { min: number(&expected["lowest"]) as f32, max: number(&expected["highest"]) as f32 };
        let found = qparams(range, &scheme, FloatFormat::F32);
        // It divides in f64 and rounds once more.
        let scale = number(&expected["scale"]);
        assert!((f64::from(found.scale) - scale).abs() <= 2e-7 * scale, "{name}: {} {scale}", found.scale);
        assert_eq!(u64::from(found.unsigned_zero_point()), expected["zero_point"].as_u64().unwrap(), "{name}");
    }
}

#[test]
fn percentiles_of_both_ends_are_onnxruntimes_and_one_bin_up_at_the_upper_one() {
    let mut compared = 0;
    for (name, expected) in onnxruntimes() {
        let counts: Vec<u64> = expected["histogram"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).collect();
        let (below, above) = counts.split_at(counts.len() / 2);
        let width = number(&expected["edge"]) / below.len() as f64;
        let sides = Sides { negative: below.iter().rev().copied().collect(), positive: above.to_vec(), width };
        for (percent, ends) in expected["percentiles"].as_object().unwrap() {
            let (negative, positive) = percentile::ends(&sides, percent.parse().unwrap()).unwrap();
            // Cut to what was seen, as there; 0 is in ours whatever the data.
            let low = (-(negative as f64) * width).max(number(&expected["lowest"])).min(0.0);
            let high = (positive as f64 * width).min(number(&expected["highest"]));
            let theirs = (number(&ends[0]).min(0.0), (number(&ends[1]) + width).min(number(&expected["highest"])));
            let near = |ours: f64, theirs: f64| (ours - theirs).abs() < 0.01 * width;
            assert!(near(low, theirs.0) && near(high, theirs.1), "{name} {percent}: {low} {high} {theirs:?}");
            compared += 1;
        }
    }
    assert_eq!(compared, 24);
}
