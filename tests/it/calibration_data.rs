//! Calibration data of every form gives the same result, in any order and any batches, on any number of threads.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use image::{GrayImage, Luma};
use ptqd::{
    backend::{DataSource, Evaluation},
    dataset::{Dataset, Preprocess, Values},
    fault::Fault,
};
use serde_json::{Value, json};

use crate::support::{data, fixture, local_job, npz, python, run_local};

fn int8(algorithm: &str) -> Value {
    let int8 = json!({"dtype": "int8"});
    json!({"backend": "modelopt", "mode": "static_ptq", "algorithm": algorithm,
        "layers": [{"module_name": "*", "weights": int8, "activations": int8}]})
}

/// The fixture's images, each 8×8 values of 0 to 16, in sixteenths; and their labels where they have some.
fn images(name: &str) -> (Vec<f32>, Vec<i64>) {
    let read = Dataset::open(&fixture(name), None).unwrap();
    let all = 0..read.samples();
    let Values::Float(pixels) = read.arrays()["input"].read("input", all.clone()).unwrap() else {
        panic!("not floats")
    };
    match read.arrays().get("y").map(|labels| labels.read("y", all).unwrap()) {
        Some(Values::Int(labels)) => (pixels, labels),
        _ => (pixels, Vec::new()),
    }
}

/// The chosen ranges, by tensor.
fn ranges(report: &Value) -> BTreeMap<String, f64> {
    let layers = report["layers"].as_array().unwrap().iter();
    let activations = layers.flat_map(|layer| layer["activations"].as_array().unwrap());
    activations.map(|a| (a["tensor"].as_str().unwrap().to_owned(), a["amax_chosen"].as_f64().unwrap())).collect()
}

/// The runtime's own rounding is all that may differ.
#[test]
fn batches_order_and_threads_do_not_change_the_scales() {
    let folder = tempfile::tempdir().unwrap();
    let (pixels, _) = images("calibration.npz");
    let samples = pixels.len() / 64;
    // 101 and 256 have no common factor, so every sample is there once.
    let shuffled: Vec<f32> = (0..samples).flat_map(|i| pixels[i * 101 % samples * 64..][..64].to_vec()).collect();
    let file = folder.path().join("shuffled.npz");
    fs::write(&file, npz("input", &[samples, 1, 8, 8], &shuffled)).unwrap();
    for (model, algorithm) in [("convnet.onnx", "entropy"), ("mobilenet.onnx", "mse"), ("vit.onnx", "percentile")] {
        let mut all = Vec::new();
        for (path, batch_size, threads) in [
            (fixture("calibration.npz"), 1, 1),
            (fixture("calibration.npz"), 4, 2),
            (file.clone(), 32, 1),
            (file.clone(), 4, 2),
        ] {
            let mut job = local_job(&fixture(model), &int8(algorithm));
            job.inputs.calibration = Some(DataSource { batch_size, ..data(&path) });
            job.inputs.evaluation = Some(Evaluation {
                data: DataSource { max_samples: Some(8), ..data(&fixture("evaluation.npz")) },
                labels: Some("y".to_owned()),
            });
            job.inputs.engine.threads = threads;
            let out = folder.path().join(format!("{model}-{}", all.len()));
            all.push(ranges(&run_local(&job, &out).unwrap()));
        }
        for other in &all[1..] {
            assert_eq!(all[0].keys().collect::<Vec<_>>(), other.keys().collect::<Vec<_>>());
            for (tensor, amax) in &all[0] {
                assert!((amax - other[tensor]).abs() <= 1e-5 * amax, "{model} {tensor}: {amax} {}", other[tensor]);
            }
        }
    }
}

/// A folder of images, a folder of files and a safetensors file give the model that the .npz gives, byte for byte.
#[test]
fn every_form_of_the_same_data_gives_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (pixels, _) = images("calibration.npz");
    fs::create_dir(at("pictures")).unwrap();
    fs::create_dir(at("files")).unwrap();
    for (number, image) in pixels.chunks(64).enumerate() {
        let picture = GrayImage::from_fn(8, 8, |x, y| Luma([(image[(8 * y + x) as usize] * 16.0) as u8]));
        picture.save(at("pictures").join(format!("{number:03}.png"))).unwrap();
    }
    for (number, images) in pixels.chunks(100 * 64).enumerate() {
        let file = npz("input", &[images.len() / 64, 1, 8, 8], images);
        fs::write(at("files").join(format!("{number}.npz")), file).unwrap();
    }
    python("to_safetensors.py", &[&fixture("calibration.npz"), &at("one.safetensors")]);
    let sixteenths: Preprocess = serde_json::from_value(json!({"scale": 0.0625, "color": "GRAY"})).unwrap();
    let model = |name: &str, path: PathBuf, preprocess: Option<Preprocess>| {
        let mut job = local_job(&fixture("convnet.onnx"), &int8("entropy"));
        job.inputs.calibration = Some(DataSource { preprocess, ..data(&path) });
        run_local(&job, &at(name)).unwrap();
        fs::read(at(name).join("model.onnx")).unwrap()
    };
    let expected = model("npz", fixture("calibration.npz"), None);
    assert_eq!(model("from pictures", at("pictures"), Some(sixteenths)), expected);
    assert_eq!(model("from files", at("files"), None), expected);
    assert_eq!(model("from safetensors", at("one.safetensors"), None), expected);
}

/// The images of each class in a folder of their own are labelled by it.
#[test]
fn folders_of_classes_are_labels() {
    let folder = tempfile::tempdir().unwrap();
    let (pixels, labels) = images("evaluation.npz");
    for (number, (image, label)) in pixels.chunks(64).zip(&labels).take(200).enumerate() {
        let class = folder.path().join("classes").join(label.to_string());
        fs::create_dir_all(&class).unwrap();
        let picture = GrayImage::from_fn(8, 8, |x, y| Luma([(image[(8 * y + x) as usize] * 16.0) as u8]));
        picture.save(class.join(format!("{number}.png"))).unwrap();
    }
    let mut job = local_job(&fixture("convnet.onnx"), &int8("minmax"));
    job.inputs.calibration = Some(data(&fixture("calibration.npz")));
    let preprocess = serde_json::from_value(json!({"scale": 0.0625, "color": "GRAY"})).unwrap();
    let source = DataSource { preprocess: Some(preprocess), ..data(&folder.path().join("classes")) };
    job.inputs.evaluation = Some(Evaluation { data: source, labels: Some("class".to_owned()) });
    let report = run_local(&job, &folder.path().join("out")).unwrap();
    assert_eq!(report["summary"]["samples_evaluated"], 200);
    assert!(report["summary"]["accuracy_before"].as_f64().unwrap() > 0.97, "{:#}", report["summary"]);
}

#[test]
fn random_numbers_are_used_only_when_asked_for_and_said_so() {
    let folder = tempfile::tempdir().unwrap();
    let mut job = local_job(&fixture("vit.onnx"), &int8("minmax"));
    let error = run_local(&job, &folder.path().join("none")).unwrap_err();
    assert!(error.hint().unwrap().contains("backend_kwargs.calibration"), "{error}");
    let mut rules = int8("minmax");
    rules["backend_kwargs"] = json!({"calibration": "random"});
    job = local_job(&fixture("vit.onnx"), &rules);
    let report = run_local(&job, &folder.path().join("random")).unwrap();
    assert_eq!(
        (&report["summary"]["calibration_random"], &report["summary"]["samples_calibrated"]),
        (&json!(true), &json!(16))
    );
    assert!(report["warnings"].as_array().unwrap().iter().any(|w| w["code"] == "calibration_random"));
    let record: Value =
        serde_json::from_slice(&fs::read(folder.path().join("random/calibration.json")).unwrap()).unwrap();
    assert_eq!(record["random"], true);
    job.inputs.calibration = Some(data(&fixture("calibration.npz")));
    assert!(run_local(&job, &folder.path().join("both")).unwrap_err().to_string().contains("in its place"));
}

#[test]
fn what_is_odd_about_the_data_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let codes = |values: &[f32], name: &str| -> Vec<String> {
        let path: &Path = &folder.path().join(name);
        fs::write(path, npz("input", &[values.len() / 64, 1, 8, 8], values)).unwrap();
        let mut job = local_job(&fixture("convnet.onnx"), &int8("minmax"));
        job.inputs.calibration = Some(data(path));
        let report = run_local(&job, &folder.path().join(format!("{name}.out"))).unwrap();
        let warnings = report["warnings"].as_array().unwrap().iter();
        warnings.map(|warning| warning["code"].as_str().unwrap().to_owned()).collect()
    };
    assert!(codes(&[0.5; 128], "same").contains(&"samples_identical".to_owned()));
    let pixels: Vec<f32> = (0..128).map(|i| ((i * 37) % 256) as f32).collect();
    assert!(codes(&pixels, "pixels").contains(&"samples_not_normalized".to_owned()));
}
