//! What observing costs beside a plain forward pass, and what a whole job takes: `cargo bench --bench calibration`.
//!
//! Options after `--`: `--folder DIR` for the models, `--runs N`, `--peers PYTHON` to run onnxruntime's and ModelOpt's tools
//! beside it. `PTQD_TEST_PYTHON` makes the models, `ORT_DYLIB_PATH` runs them.
#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::unwrap_used,
    missing_docs,
    reason = "a bench fails by panicking"
)]

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use ptqd::{
    calibration::{Keep, Statistics},
    control::Canceller,
    dataset::Dataset,
    engine::{Binding, EngineConfig, Optimisation, Session, Slots, with_observers},
    model::onnx::{Model, ModelWriter},
    numeric::FloatFormat,
};
use serde_json::json;

const BATCH: usize = 8;

fn option(name: &str) -> Option<String> {
    let arguments: Vec<String> = env::args().collect();
    arguments.iter().position(|argument| argument == name).and_then(|at| arguments.get(at + 1).cloned())
}

fn main() {
    if !env::args().any(|argument| argument == "--bench") {
        return; // `cargo test --benches` only wants to know that it starts
    }
    if let Some(model) = option("--plain") {
        return plain(Path::new(&model), Path::new(&option("--data").unwrap()));
    }
    let folder = PathBuf::from(option("--folder").unwrap_or_else(|| "target/bench-onnx".to_owned()));
    let runs: usize = option("--runs").map_or(5, |text| text.parse().expect("a number"));
    fs::create_dir_all(&folder).unwrap();
    if !folder.join("embeddings.npz").exists() {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/benches/make_models.py");
        let python = env::var("PTQD_TEST_PYTHON").expect("PTQD_TEST_PYTHON; `make setup` says where");
        assert!(Command::new(python).arg(script).arg(&folder).status().expect("Python starts").success());
    }
    for (model, data) in [("resnet50.onnx", "images.npz"), ("encoder.onnx", "embeddings.npz")] {
        observe(&folder, model, data, runs);
    }
    for (model, data) in [("resnet50.onnx", "images.npz"), ("encoder.onnx", "embeddings.npz")] {
        // In a process of its own, whose memory is nothing else's.
        let mut command = Command::new(env::current_exe().unwrap());
        command.arg("--bench").arg("--plain").arg(folder.join(model)).arg("--data").arg(folder.join(data));
        assert!(command.status().expect("the bench starts").success());
    }
    for data in ["images-16.npz", "images.npz", "images-1024.npz"] {
        job(&folder, "resnet50.onnx", data);
    }
    job(&folder, "encoder.onnx", "embeddings.npz");
    if let Some(python) = option("--peers") {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/benches/onnx_peers.py");
        assert!(Command::new(python).arg(script).arg(&folder).status().expect("Python starts").success());
    }
}

fn config() -> EngineConfig {
    EngineConfig {
        library: env::var_os("ORT_DYLIB_PATH").expect("ORT_DYLIB_PATH; `make setup` says where").into(),
        openvino: None,
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        memory: None,
        canceller: Canceller::default(),
    }
}

/// The memory of a plain forward pass.
fn plain(model: &Path, data: &Path) {
    let data = Dataset::open(data, None).unwrap();
    let mut session = Session::load(model, Optimisation::Extended, &config()).unwrap();
    let inputs = session.inputs().to_vec();
    let binding = Binding::new(&inputs, &data, BATCH, 0..data.samples()).unwrap();
    for batch in binding.batches() {
        session.forward(&binding.read(batch).unwrap()).unwrap();
    }
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kibibytes: u64 = peak.trim().strip_suffix("kB").unwrap().trim().parse().unwrap();
    println!("{}: plain forward alone, peak RSS {} MiB", model.file_name().unwrap().display(), kibibytes >> 10);
}

/// Medians of passes that take turns, so that all of them see the same machine.
fn observe(folder: &Path, name: &str, data: &str, runs: usize) {
    let config = config();
    let model = Model::read(&folder.join(name)).unwrap();
    let data = Dataset::open(&folder.join(data), None).unwrap();
    let compute = |op: &str| ["Conv", "Gemm", "MatMul"].contains(&op);
    let graph = model.graph();
    let nodes = graph.nodes().filter(|node| graph.op(*node).is_some_and(compute));
    let watched: BTreeSet<&String> = nodes.map(|node| &graph.node(node).input[0]).collect();
    let watched: Vec<_> = watched.into_iter().map(|name| (name, FloatFormat::F32)).collect();
    let plain = Session::load(&folder.join(name), Optimisation::Extended, &config).unwrap();
    let observed = folder.join("observed.onnx");
    let observing = with_observers(&model, &watched, None);
    ModelWriter::create(&observed, &observing, &[], false).unwrap().finish().unwrap();
    let with = |keep: Keep| {
        let slots = Slots::new(watched.iter().map(|_| Statistics::new(keep)));
        Session::load_observed(&observed, &slots, &config).unwrap()
    };
    let mut sessions = [
        ("plain", plain),
        ("minmax", with(Keep::Range)),
        ("histogram", with(Keep::Magnitudes)),
        ("histogram with signs", with(Keep::Signs)),
    ];
    let mut times = [const { Vec::new() }; 4];
    for _ in 0..=runs {
        for ((_, session), times) in sessions.iter_mut().zip(&mut times) {
            let binding = Binding::new(session.inputs(), &data, BATCH, 0..data.samples()).unwrap();
            let began = Instant::now();
            for batch in binding.batches() {
                session.forward(&binding.read(batch).unwrap()).unwrap();
            }
            times.push(began.elapsed());
        }
    }
    let medians = times.map(|mut times| {
        times.remove(0); // the first pass finds memory
        times.sort();
        times[times.len() / 2].as_secs_f64()
    });
    println!(
        "{name}: {} tensors watched, plain forward of {} samples {:.2} s",
        watched.len(),
        data.samples(),
        medians[0]
    );
    for ((what, _), median) in sessions.iter().zip(medians).skip(1) {
        println!("{name}: {what} {median:.2} s = {:.3} x plain", median / medians[0]);
    }
}

fn job(folder: &Path, model: &str, data: &str) {
    let (out, spec) = (folder.join("out"), folder.join("spec.json"));
    let int8 = json!({"dtype": "int8"});
    let rules = json!({"backend": "modelopt", "mode": "static_ptq", "algorithm": "entropy",
        "layers": [{"module_name": "*", "weights": int8, "activations": int8}]});
    fs::write(&spec, rules.to_string()).unwrap();
    let _ = fs::remove_dir_all(&out);
    let mut command = Command::new(env!("CARGO_BIN_EXE_ptqd"));
    command.arg("quantize").arg("--model").arg(folder.join(model)).arg("--spec").arg(&spec);
    command
        .arg("--calibration")
        .arg(folder.join(data))
        .arg("--out")
        .arg(&out)
        .args(["--batch-size", &BATCH.to_string()]);
    let began = Instant::now();
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().expect("ptqd starts");
    let wall: Duration = began.elapsed();
    assert!(status.success(), "ptqd failed: run it by hand to see why");
    let report: serde_json::Value = serde_json::from_slice(&fs::read(out.join("report.json")).unwrap()).unwrap();
    let summary = &report["summary"];
    println!(
        "{model}, {data}: whole job {:.2} s, peak RSS {} MiB, phases {}, output SQNR {} dB",
        wall.as_secs_f64(),
        summary["peak_rss_bytes"].as_u64().unwrap_or(0) >> 20,
        summary["seconds"],
        summary["output_sqnr_db"]
    );
}
