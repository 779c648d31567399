//! The parsers, each with good inputs to begin with. Another one is another row.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use ptqd::{
    backend::{DataSource, RunInputs},
    calibration::{Keep, Record, Statistics, VERSION},
    compute::child,
    control::{Canceller, Control, MemoryBudget},
    dataset::{Dataset, Preprocess, Size, data_checks},
    engine::EngineConfig,
    job::{JobRequest, Tenant},
    pipeline::{self, LocalJob, Purpose},
    report::QualityGate,
    spec::{Pattern, parse, parse_text},
    storage::Sources,
};
use serde_json::{Value, json};

/// Something that reads what strangers send.
pub struct Target {
    pub name: &'static str,
    /// Good inputs; `fixtures` is the folder of the tests'.
    pub seeds: fn(fixtures: &Path) -> Vec<Vec<u8>>,
    /// Reads one, in an empty folder if it wants files.
    pub try_it: fn(input: &[u8], scratch: &Path),
}

pub const TARGETS: [Target; 12] = [
    Target { name: "onnx", seeds: |at| files(at, &["onnx"]), try_it: |input, at| model(input, at, "onnx") },
    Target {
        name: "safetensors",
        seeds: |at| files(at, &["safetensors"]),
        try_it: |input, at| model(input, at, "safetensors"),
    },
    Target { name: "torch", seeds: |at| files(at, &["pth", "pt"]), try_it: |input, at| model(input, at, "pth") },
    Target { name: "npz", seeds: |at| files(at, &["npz"]), try_it: |input, at| data(input, at, "npz") },
    Target { name: "npy", seeds: |_| vec![npy()], try_it: |input, at| data(input, at, "npy") },
    Target { name: "images", seeds: |_| images(), try_it: images_of },
    Target { name: "spec", seeds: |_| specs(), try_it: |input, _| spec(input) },
    Target { name: "request", seeds: |_| requests(), try_it: |input, _| request(input) },
    Target { name: "patterns", seeds: |_| patterns(), try_it: |input, _| pattern(input) },
    Target { name: "uris", seeds: |_| uris(), try_it: |input, _| uri(input) },
    Target { name: "calibration", seeds: |_| vec![record()], try_it: calibration },
    Target { name: "frames", seeds: |_| frames(), try_it: |input, _| frame(input) },
];

/// The fixtures of these kinds that are not too large to be tried often.
fn files(folder: &Path, endings: &[&str]) -> Vec<Vec<u8>> {
    const LARGEST: u64 = 256 << 10;
    let mut paths: Vec<_> = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let wanted = |path: &Path| path.extension().is_some_and(|e| endings.iter().any(|ending| e == *ending));
    paths.retain(|path| wanted(path) && fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() <= LARGEST));
    paths.iter().map(|path| fs::read(path).expect("a fixture")).collect()
}

/// Plans a model with both backends, and quantizes its weights.
fn model(input: &[u8], scratch: &Path, ending: &str) {
    let path = scratch.join(format!("model.{ending}"));
    fs::write(&path, input).expect("written");
    let rule = json!({"module_name": "*", "weights": {"dtype": "int8"}});
    for section in [
        json!({"backend": "torchao", "layers": [rule]}),
        json!({"backend": "modelopt", "mode": "static_ptq", "layers": [rule], "backend_kwargs": {"placement": "onnxruntime"}}),
    ] {
        let job = job(&path, &section);
        let _ = pipeline::plan(&job, Purpose::Look).map(|planned| planned.predict().is_ok());
    }
    let out = scratch.join("out");
    let _ = fs::remove_dir_all(&out);
    fs::create_dir_all(&out).expect("a folder");
    let job = job(&path, &json!({"backend": "torchao", "layers": [rule]}));
    let _ = pipeline::run(&job, &out, &Control::new(&|_| {}, &Canceller::default()));
}

fn job(model: &Path, section: &Value) -> LocalJob {
    let engine = EngineConfig {
        library: "/nonexistent".into(),
        openvino: None,
        threads: 1,
        memory: None,
        canceller: Canceller::default(),
    };
    let parsed = parse(section, "");
    LocalJob {
        spec: parsed.spec,
        warnings: parsed.warnings,
        model: model.to_owned(),
        inputs: RunInputs {
            calibration: None::<DataSource>,
            evaluation: None,
            engine,
            memory: Arc::new(MemoryBudget::default()),
            statistics: None,
            digests: BTreeMap::new(),
        },
        quality_gate: QualityGate::default(),
        digests: false,
        origins: BTreeMap::new(),
    }
}

fn data(input: &[u8], scratch: &Path, ending: &str) {
    let path = scratch.join(format!("data.{ending}"));
    fs::write(&path, input).expect("written");
    read(&path, None);
}

fn read(path: &Path, preprocess: Option<&Preprocess>) {
    let Ok(data) = Dataset::open(path, preprocess) else { return };
    let samples = data.samples().min(8);
    let _ = data_checks(&data, 0..samples);
    for (name, array) in data.arrays() {
        let _ = array.read(name, 0..array.samples().unwrap_or(0).min(8));
    }
}

fn npy() -> Vec<u8> {
    let mut header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }".to_owned();
    header.push_str(&" ".repeat(117 - header.len()));
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.bytes());
    bytes.extend([0; 24]);
    bytes
}

fn images() -> Vec<Vec<u8>> {
    let picture = image::RgbImage::from_fn(9, 7, |x, y| image::Rgb([x as u8 * 20, y as u8 * 30, 9]));
    [image::ImageFormat::Png, image::ImageFormat::Jpeg]
        .map(|format| {
            let mut bytes = std::io::Cursor::new(Vec::new());
            picture.write_to(&mut bytes, format).expect("an image");
            bytes.into_inner()
        })
        .into()
}

fn images_of(input: &[u8], scratch: &Path) {
    let folder = scratch.join("images");
    fs::create_dir_all(&folder).expect("a folder");
    let ending = if input.starts_with(b"\x89PNG") { "png" } else { "jpg" };
    let path = folder.join(format!("image.{ending}"));
    fs::write(&path, input).expect("written");
    read(&folder, Some(&Preprocess { resize: Some(Size::One(8)), crop: Some(Size::One(8)), ..Preprocess::default() }));
    fs::remove_file(&path).expect("removed");
}

fn specs() -> Vec<Vec<u8>> {
    let json = json!({"quantize": {"backend": "modelopt", "mode": "static_ptq", "algorithm": "minmax", "device": "cuda",
        "layers": [{"module_name": "re:^a.*$", "weights": {"dtype": "int8", "quant_axis": 0}, "activations": [{"dtype": "fp8_e4m3fn"}]}],
        "skip_names": ["*head*", "type:Gemm"], "backend_kwargs": {"placement": "tensorrt", "percentile": 99.9},
        "quantization_method": {"quantization_scheme": "W4A16"}}});
    let yaml = "quantize:\n  backend: torchao\n  layers:\n    - &rule {module_name: '*', weights: {dtype: int4}}\n    - *rule\n";
    vec![json.to_string().into_bytes(), yaml.into()]
}

fn spec(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Ok(document) = parse_text(text) else { return };
    let (section, _) = ptqd::spec::find_section(&document);
    let parsed = parse(section, "/quantize");
    let _ = ptqd::backend::check(&parsed.spec, true);
}

fn requests() -> Vec<Vec<u8>> {
    let job = json!({"name": "a", "model": {"uri": "s3://b/m.onnx"}, "calibration": {"uri": "file:///x.npz", "max_samples": 8,
        "batch_size": 2, "preprocess": {"resize": [8, 8], "crop": 8, "scale": 0.1, "mean": [1, 2, 3], "layout": "NCHW"}},
        "evaluation": {"uri": "upload://x", "labels": "y"}, "quantize": {"layers": [{"module_name": "*", "weights": {"dtype": "int8"}}]},
        "quality_gate": {"min_output_sqnr_db": 10}, "labels": {"a": "b"}, "priority": 3, "timeout_seconds": 60, "max_attempts": 2});
    vec![job.to_string().into_bytes()]
}

fn request(input: &[u8]) {
    let Ok(body) = serde_json::from_slice::<Value>(input) else { return };
    let _ = JobRequest::read(&body).admit(Purpose::Run, |_, _| None);
}

fn patterns() -> Vec<Vec<u8>> {
    ["*", "a?b[!c-e]*", "re:^layer\\.(\\d+)\\.[^.]+$", "type:Conv", "[]x]", "**a**b**", "model.layers.0.*.weight"]
        .map(|text| text.into())
        .into()
}

fn pattern(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Ok(pattern) = Pattern::new(text) else { return };
    for name in ["", "model.layers.0.self_attn.q_proj", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", text] {
        let _ = pattern.matches([name], ["Conv"]);
    }
}

fn uris() -> Vec<Vec<u8>> {
    [
        "s3://bucket/key",
        "gs://b/k/",
        "az://c/k",
        "https://host:8/p?q",
        "hf://owner/name@main/x",
        "upload://a/b",
        "file:///x/%20y",
    ]
    .map(|text| text.into())
    .into()
}

fn uri(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let _ = Sources::default().objection(&Tenant::default(), "/model/uri", text);
}

fn record() -> Vec<u8> {
    let tensors =
        [("x".to_owned(), Statistics::new(Keep::Signs)), ("y".to_owned(), Statistics::new(Keep::Range))].into();
    let float32 = Default::default();
    let record = Record { version: VERSION, random: false, mask_input: None, samples: 2, tensors, float32 };
    json!(record).to_string().into_bytes()
}

fn calibration(input: &[u8], scratch: &Path) {
    let path = scratch.join("calibration.json");
    fs::write(&path, input).expect("written");
    let _ = Record::read(&path);
}

fn frame(input: &[u8]) {
    let _ = child::understands(input);
}

fn frames() -> Vec<Vec<u8>> {
    let frame = |message: &Value| {
        let text = message.to_string();
        [&(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat()
    };
    vec![
        frame(&json!("Stop")),
        frame(&json!({"Notice": {"Phase": "staging"}})),
        frame(&json!({"Ended": {"Ok": {"Apart": [1, 2]}}})),
        frame(
            &json!({"Ended": {"Err": {"failure": {"code": "cancelled", "message": "m", "retryable": false}, "needs_bytes": null}}}),
        ),
        frame(&json!({"Brought": {"Ok": "abc"}})),
    ]
}
