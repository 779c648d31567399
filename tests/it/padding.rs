//! What stands on the padding of sequences sets no range.

use std::{fs, path::Path};

use ptqd::backend::DataSource;
use serde_json::{Value, json};

use crate::support::{data, local_job, python, run_local};

const WIDTH: u64 = 32;

/// A net over padded sequences, quantized for `placement`.
struct Padded<'a> {
    folder: &'a Path,
    net: &'a str,
    placement: &'a str,
    algorithm: &'a str,
    mask: Option<&'a str>,
    batch: usize,
}

impl Padded<'_> {
    /// The report, and the tensors of `calibration.json`.
    fn run(&self) -> Result<(Value, Value), String> {
        let int8 = json!({"dtype": "int8"});
        let rules = json!({"backend": "modelopt", "mode": "static_ptq", "algorithm": self.algorithm,
            "backend_kwargs": {"placement": self.placement},
            "layers": [{"module_name": "*", "weights": int8, "activations": int8}]});
        let mut job = local_job(&self.folder.join(format!("{}.onnx", self.net)), &rules);
        let source = data(&self.folder.join(format!("{}.npz", self.net)));
        let mask_input = self.mask.map(str::to_owned);
        job.inputs.calibration = Some(DataSource { batch_size: self.batch, mask_input, ..source });
        let out = tempfile::tempdir_in(self.folder).unwrap();
        let report = run_local(&job, out.path()).map_err(|error| error.to_string())?;
        let record: Value = serde_json::from_slice(&fs::read(out.path().join("calibration.json")).unwrap()).unwrap();
        assert_eq!(record["mask_input"], report["summary"]["mask_input"]);
        Ok((report, record["tensors"].clone()))
    }
}

fn largest(tensors: &Value) -> f64 {
    tensors.as_object().unwrap().values().map(|tensor| tensor["max"].as_f64().unwrap()).fold(0.0, f64::max)
}

#[test]
fn ranges_leave_padding_out_whatever_the_mask_is_made_of_and_however_it_is_batched() {
    let folder = tempfile::tempdir().unwrap();
    let real = python("padded_nets.py", &[folder.path()])["real"].as_u64().unwrap();
    // In a flat Gemm a tensor has a row for each position, in a product it is [batch, sequence, width].
    for placement in ["onnxruntime", "openvino"] {
        let padded = |net, batch| {
            // One of floats may as well be added to scores, so it must be named.
            let mask = (net == "float").then_some("attention_mask");
            let padded = Padded { folder: folder.path(), net, placement, algorithm: "entropy", mask, batch };
            let (report, tensors) = padded.run().unwrap();
            assert_eq!(report["summary"]["mask_input"], "attention_mask");
            tensors
        };
        let whole = padded("int64", 12);
        assert!(whole.as_object().unwrap().len() >= 2, "{whole}");
        for (name, tensor) in whole.as_object().unwrap() {
            assert_eq!(tensor["count"], real * WIDTH, "{placement} {name}");
        }
        assert!(largest(&whole) < 200.0, "{whole}");
        for (net, batch) in [("int64", 1), ("int64", 5), ("float", 12), ("bool", 4)] {
            assert_eq!(padded(net, batch), whole, "{placement} {net} {batch}");
        }
    }
}

#[test]
fn padding_counts_for_tensorrt_until_a_mask_is_named() {
    let folder = tempfile::tempdir().unwrap();
    python("padded_nets.py", &[folder.path()]);
    let padded = |mask| {
        let net =
            Padded { folder: folder.path(), net: "int64", placement: "tensorrt", algorithm: "minmax", mask, batch: 8 };
        net.run()
    };
    let (report, tensors) = padded(None).unwrap();
    assert_eq!((&report["summary"]["mask_input"], largest(&tensors) >= 1000.0), (&Value::Null, true), "{tensors}");
    let (report, tensors) = padded(Some("attention_mask")).unwrap();
    let chosen = &report["summary"]["mask_input"];
    assert_eq!((chosen, largest(&tensors) < 200.0), (&json!("attention_mask"), true), "{tensors}");
    for name in ["x", "mask"] {
        let error = padded(Some(name)).unwrap_err();
        assert!(error.contains(&format!("the model has no input `{name}` of [batch, sequence]")), "{error}");
    }
}
