//! What a process for each job costs: the same computation in a child and in this process, in turns.
//!
//! `cargo bench --bench isolation -- [--rounds N] [--model FILE [--calibration FILE]]`. Without a model: a small network of the
//! tests'. With calibration data the job is `static_ptq`, without it `weight_only_ptq`. Needs `ORT_DYLIB_PATH`.
#![allow(clippy::expect_used, clippy::print_stdout, missing_docs, reason = "a program that reports")]

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use ptqd::{
    compute::{Compute, ComputeSettings, Output, Request, Work},
    config::Isolation,
    control::Canceller,
    job::{DataRef, InputFiles, JobSpec},
};
use serde_json::json;

struct Arguments {
    rounds: usize,
    model: PathBuf,
    calibration: Option<PathBuf>,
}

fn arguments() -> Arguments {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut parsed = Arguments { rounds: 15, model: PathBuf::new(), calibration: None };
    let mut given = std::env::args().skip(1);
    while let Some(argument) = given.next() {
        let mut value = || given.next().expect("a value");
        match argument.as_str() {
            "--rounds" => parsed.rounds = value().parse().expect("a number"),
            "--model" => parsed.model = value().into(),
            "--calibration" => parsed.calibration = Some(value().into()),
            _ => {}
        }
    }
    if parsed.model.as_os_str().is_empty() {
        parsed.model = fixtures.join("mobilenet.onnx");
        parsed.calibration = Some(fixtures.join("calibration.npz"));
    }
    // A child has another working directory.
    let absolute = |path: PathBuf| std::path::absolute(path).expect("an absolute path");
    Arguments { rounds: parsed.rounds, model: absolute(parsed.model), calibration: parsed.calibration.map(absolute) }
}

fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        return; // `cargo test --benches` only wants to know that it starts
    }
    let Arguments { rounds, model, calibration } = arguments();
    let library: PathBuf = std::env::var_os("ORT_DYLIB_PATH").expect("ORT_DYLIB_PATH").into();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let _inside = runtime.enter();
    let computes = [Isolation::Off, Isolation::Auto].map(|isolation| {
        let program = env!("CARGO_BIN_EXE_ptqd").into();
        let compute = Compute::new(ComputeSettings { isolation, program, library: library.clone(), warm: 1 });
        compute.warm_up();
        compute
    });
    println!("{}", runtime.block_on(computes[1].report()).line());
    let rule = |static_ptq: bool| {
        let weights = json!({"dtype": "int8"});
        match static_ptq {
            true => json!({"module_name": "*", "weights": weights, "activations": {"dtype": "int8"}}),
            false => json!({"module_name": "*", "weights": weights}),
        }
    };
    let section = match &calibration {
        Some(_) => json!({"backend": "modelopt", "mode": "static_ptq", "layers": [rule(true)]}),
        None => json!({"backend": "torchao", "layers": [rule(false)]}),
    };
    let mut spec = JobSpec::new("file:///model", section);
    spec.calibration = calibration.as_ref().map(|_| DataRef {
        uri: "file:///data".to_owned(),
        labels: None,
        max_samples: None,
        batch_size: None,
        mask_input: None,
        preprocess: None,
    });
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut times: [Vec<Duration>; 2] = Default::default();
    for round in 0..rounds {
        for (compute, times) in computes.iter().zip(&mut times) {
            let out = folder.path().join("out");
            fs::create_dir_all(&out).expect("a folder");
            let files = InputFiles { model: model.clone(), calibration: calibration.clone(), ..InputFiles::default() };
            let request = Request {
                spec: spec.clone(),
                files: files.into(),
                work: Work::Whole { apart: None, streamed: false },
                out: out.clone(),
                library: library.clone(),
                openvino: None,
                threads,
                engine_memory: Some(8 << 30),
                memory: 256 << 20,
                statistics: None,
            };
            let began = Instant::now();
            let output = runtime.block_on(compute.run(request, None, None, |_| (), &Canceller::default()));
            let took = began.elapsed();
            assert!(matches!(output, Ok(Output::Whole(_))), "{output:?}");
            fs::remove_dir_all(&out).expect("removed");
            // The first of each finds nothing in memory.
            if round > 0 {
                times.push(took);
            }
            // Between jobs a child is started for the next.
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    let [here, apart] = times.map(|mut times| {
        times.sort();
        times.get(times.len() / 2).copied().unwrap_or_default()
    });
    let ratio = apart.as_secs_f64() / here.as_secs_f64();
    println!(
        "{}: in this process {here:?}, in a child {apart:?}: {ratio:.3} x, {:?} more",
        model.display(),
        apart.saturating_sub(here)
    );
}
