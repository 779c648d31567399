//! Weight-only PTQ as a stream: every way through it gives what the slow reference gives, whatever the threads and
//! interruptions, within the budget, and with a reason for everything left alone.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use half::bf16;
use ptqd::{
    backend::JOURNAL,
    control::{Canceller, Control, MemoryBudget, Notice},
    fault::{Fault, FaultCode},
    model::safetensors::open,
    numeric::{DType, Element, ElementVisitor},
    pipeline::{self, Finished, LocalJob, PipelineError},
    quant::{Granularity, Grid, QParams, ScaleRule, Scheme, reference},
    tensor::Shape,
};
use serde_json::{Value, json};

use crate::support::{lasting, local_job, sharded, values, write_bf16};

fn job(model: &Path, quantize: &Value, threads: usize, memory: u64) -> LocalJob {
    let mut job = local_job(model, quantize);
    job.inputs.engine.threads = threads;
    job.inputs.memory = Arc::new(MemoryBudget::new(memory));
    job.digests = true;
    job
}

fn run(model: &Path, quantize: &Value, out: &Path) -> Result<Finished, PipelineError> {
    fs::create_dir_all(out).unwrap();
    let cancel = Canceller::default();
    pipeline::run(&job(model, quantize, 2, MemoryBudget::DEFAULT), out, &Control::new(&|_| {}, &cancel))
}

struct Reference<'a>(&'a [bf16], Grid, Scheme);
impl ElementVisitor for Reference<'_> {
    type Output = (Vec<u8>, Vec<QParams>);
    fn visit<E: Element>(self) -> Self::Output {
        let (codes, params, _) = reference::quantize_matrix::<bf16, E>(self.0, &self.1, &self.2).unwrap();
        (codes, params)
    }
}

/// Shapes for which a part is some rows, a row is too long for a part, a block is cut at columns, and a tensor needs two
/// passes; ragged edges too.
#[test]
fn every_way_through_the_stream_gives_what_the_reference_gives() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    let shapes = [("many_rows", vec![700, 1056]), ("long_rows", vec![3, 280_064]), ("wide", vec![130, 2304 * 2])];
    let tensors: Vec<(String, Vec<usize>, Vec<bf16>)> = shapes
        .iter()
        .enumerate()
        .map(|(i, (name, dims))| (format!("{name}.weight"), dims.clone(), values(i as u32, dims.iter().product())))
        .collect();
    write_bf16(&path, &tensors.iter().map(|(n, d, v)| (n.as_str(), d.clone(), v.clone())).collect::<Vec<_>>());
    let cases = [
        ("int8", json!({}), Granularity::PerChannel { axis: 0 }),
        ("int8", json!({"granularity": "per_tensor"}), Granularity::PerTensor),
        ("int8", json!({"granularity": "per_tensor", "symmetric": false}), Granularity::PerTensor),
        ("int8", json!({"symmetric": false}), Granularity::PerChannel { axis: 0 }),
        ("int8", json!({"group_size": 32, "symmetric": false}), Granularity::PerGroup { axis: 1, size: 32 }),
        ("int8", json!({"scale_rule": "amax/127"}), Granularity::PerChannel { axis: 0 }),
        ("fp8_e4m3fn", json!({"granularity": "per_block"}), Granularity::PerBlock { rows: 128, columns: 128 }),
        ("fp8_e5m2", json!({"group_size": 64}), Granularity::PerGroup { axis: 1, size: 64 }),
        ("int4", json!({"group_size": 32}), Granularity::PerGroup { axis: 1, size: 32 }),
    ];
    for (number, (dtype, options, granularity)) in cases.into_iter().enumerate() {
        let out = folder.path().join(number.to_string());
        let rules = json!([{"module_name": "*", "weights": {"dtype": dtype}}]);
        let finished = run(&path, &json!({"layers": rules, "backend_kwargs": options}), &out).unwrap();
        let dtype: DType = dtype.parse().unwrap();
        let mut scheme = Scheme::torchao(dtype, granularity);
        if options["symmetric"] == json!(false) {
            scheme.rule = ScaleRule::RangeOverSteps;
        } else if options["scale_rule"] == json!("amax/127") {
            scheme.rule = ScaleRule::AmaxOverMax;
        }
        let checkpoint = open(&out.join("model.safetensors")).unwrap();
        let shard = &checkpoint.shards[0];
        let stored = |name: String| shard.tensors.iter().find(|t| t.name == name).map(|t| shard.bytes(t).into_owned());
        for (name, dims, values) in &tensors {
            let grid = Grid::new(&Shape::new(dims.clone()).unwrap(), granularity).unwrap();
            let layer = finished.report.layers.iter().find(|layer| format!("{}.weight", layer.name) == *name).unwrap();
            if !grid.columns.is_multiple_of(grid.cell_columns) {
                assert_eq!(
                    (layer.reason.name(), stored(name.clone()).unwrap().len()),
                    ("group_ragged", 2 * values.len())
                );
                continue;
            }
            let (codes, params) = dtype.visit(Reference(values, grid, scheme));
            let scales: Vec<u8> = params.iter().flat_map(|p| p.scale.to_le_bytes()).collect();
            assert!(stored(format!("{name}_scale")).unwrap() == scales, "scales of {name}, case {number}");
            if scheme.rule.is_asymmetric() {
                let zeros: Vec<u8> = params.iter().map(|p| p.zero_point as u8).collect();
                assert!(stored(format!("{name}_zero_point")).unwrap() == zeros, "zero points of {name}, case {number}");
            }
            if dtype == DType::Int4 {
                let packed = stored(format!("{name}_packed")).unwrap();
                let unpacked = packed.iter().flat_map(|byte| [byte & 15, byte >> 4]).map(|c| c.wrapping_sub(8));
                assert!(unpacked.eq(codes), "codes of {name}, case {number}");
            } else {
                assert!(stored(name.clone()).unwrap() == codes, "codes of {name}, case {number}");
            }
            assert_eq!(layer.weights.as_ref().unwrap().scale_rule, scheme.rule.name(dtype));
        }
    }
}

#[test]
fn one_thread_two_threads_and_an_interruption_give_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let model = sharded(folder.path(), 1024);
    let quantize = json!({"layers": [{"module_name": "*", "weights": {"dtype": "int8"}}]});
    let whole = folder.path().join("whole");
    let finished = run(&model, &quantize, &whole).unwrap();

    let single = folder.path().join("single");
    fs::create_dir(&single).unwrap();
    let never = Canceller::default();
    let one = job(&model, &quantize, 1, MemoryBudget::DEFAULT);
    pipeline::run(&one, &single, &Control::new(&|_| {}, &never)).unwrap();
    assert!(lasting(&whole) == lasting(&single));

    // Stopped in the third shard; two are finished and not done again.
    let stopped = folder.path().join("stopped");
    fs::create_dir(&stopped).unwrap();
    let cancel = Canceller::default();
    let third = stopped.join("model-00003-of-00004.safetensors.partial");
    let stop_there = |notice: Notice| {
        if matches!(notice, Notice::Progress(..)) && third.with_extension("partial").exists() {
            cancel.cancel();
        }
    };
    let error = pipeline::run(&one, &stopped, &Control::new(&stop_there, &cancel)).unwrap_err();
    assert_eq!(error.code(), FaultCode::Cancelled);
    let inode = |name: &str| fs::metadata(stopped.join(name)).map(|m| (m.ino(), m.mtime_nsec()));
    let second = "model-00002-of-00004.safetensors";
    let before = inode(second).unwrap();
    assert!(inode("model-00003-of-00004.safetensors").is_err(), "an unfinished shard has its final name");
    let resumed = run(&model, &quantize, &stopped).unwrap();
    assert_eq!(inode(second).unwrap(), before, "a finished shard was done again");
    assert!(!stopped.join(JOURNAL).exists());
    assert!(lasting(&whole) == lasting(&stopped));
    let figures = |finished: &Finished| json!(finished.report.layers);
    assert_eq!(figures(&resumed), figures(&finished), "the figures of resumed shards");
}

#[test]
fn killed_and_run_again_the_command_resumes() {
    let folder = tempfile::tempdir().unwrap();
    let model = sharded(folder.path(), 8192);
    let (spec, out, whole) = (folder.path().join("s.json"), folder.path().join("out"), folder.path().join("whole"));
    let quantize = json!({"layers": [{"module_name": "*", "weights": {"dtype": "fp8_e4m3fn"}}]});
    fs::write(&spec, quantize.to_string()).unwrap();
    let command = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ptqd"));
        command.arg("quantize").arg("--model").arg(&model).arg("--spec").arg(&spec).arg("--out").arg(&out);
        command.args(["--threads", "1"]).stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    let mut child = command().spawn().unwrap();
    let first = out.join("model-00001-of-00004.safetensors");
    let began = Instant::now();
    while !out.join(JOURNAL).join("model-00001-of-00004.safetensors.json").exists() {
        assert!(began.elapsed() < Duration::from_secs(60) && child.try_wait().unwrap().is_none());
        std::thread::sleep(Duration::from_micros(200));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!out.join("manifest.json").exists(), "it was done before it was killed: make the model larger");
    let inode = fs::metadata(&first).unwrap().ino();
    assert!(command().status().unwrap().success());
    assert_eq!(fs::metadata(&first).unwrap().ino(), inode, "a finished shard was done again");
    run(&model, &quantize, &whole).unwrap();
    assert!(lasting(&whole) == lasting(&out));
}

#[test]
fn a_budget_too_small_is_an_error_and_not_an_excess() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    write_bf16(&path, &[("fc.weight", vec![64, 64], values(1, 4096))]);
    let (out, never) = (folder.path().join("out"), Canceller::default());
    fs::create_dir(&out).unwrap();
    let quantize = json!({"layers": [{"module_name": "*", "weights": {"dtype": "int8"}}]});
    let error = pipeline::run(&job(&path, &quantize, 1, 1 << 20), &out, &Control::new(&|_| {}, &never)).unwrap_err();
    assert_eq!(error.code(), FaultCode::MemoryBudgetExceeded);
    assert!(!out.join("model.safetensors").exists());

    // Room for fewer buffers than there are threads: slower, and the same.
    let model = sharded(folder.path(), 512);
    let (narrow, wide) = (folder.path().join("narrow"), folder.path().join("wide"));
    fs::create_dir(&narrow).unwrap();
    pipeline::run(&job(&model, &quantize, 8, 3 << 20), &narrow, &Control::new(&|_| {}, &never)).unwrap();
    run(&model, &quantize, &wide).unwrap();
    assert!(lasting(&narrow) == lasting(&wide));
}

#[test]
fn zeros_decode_to_zeros_and_what_is_left_alone_has_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    let mut some_zero = values(2, 4 * 64);
    some_zero[64..128].fill(bf16::ZERO);
    write_bf16(
        &path,
        &[
            ("fc.weight", vec![4, 64], some_zero),
            ("zeros.weight", vec![2, 64], vec![bf16::ZERO; 128]),
            ("ragged.weight", vec![2, 50], values(3, 100)),
            ("empty.weight", vec![0, 64], vec![]),
            ("scalar.weight", vec![], values(4, 1)),
            ("norm.weight", vec![64], values(5, 64)),
            ("conv.weight", vec![4, 4, 2, 2], values(6, 64)),
            ("lm_head.weight", vec![4, 64], values(7, 256)),
            ("embed_tokens.weight", vec![4, 64], values(8, 256)),
            ("mlp.gate.weight", vec![4, 64], values(9, 256)),
            ("fc.bias", vec![4], values(10, 4)),
        ],
    );
    for (dtype, options) in [
        ("int8", json!({"group_size": 64, "symmetric": false})),
        ("fp8_e4m3fn", json!({"group_size": 64})),
        ("int4", json!({"group_size": 64})),
    ] {
        let out = folder.path().join(dtype);
        let rules = json!([{"module_name": "*", "weights": {"dtype": dtype}}]);
        let quantize = json!({"layers": rules, "backend_kwargs": options});
        let finished = run(&path, &quantize, &out).unwrap();
        let reason = |name: &str| {
            finished.report.layers.iter().find(|layer| layer.name == name).map(|layer| layer.reason.name())
        };
        for (name, expected) in [
            ("fc", "rule"),
            ("zeros", "rule"),
            ("ragged", "group_ragged"),
            ("empty", "empty"),
            ("conv", "convolution_not_named"),
            ("lm_head", "head_not_named"),
            ("embed_tokens", "embedding_not_named"),
            ("mlp.gate", "router_not_named"),
        ] {
            assert_eq!(reason(name), Some(expected), "{name}");
        }
        let plan: Value = serde_json::from_slice(&fs::read(out.join("plan.json")).unwrap()).unwrap();
        let planned = plan["plan"]["layers"].as_array().unwrap();
        assert!(planned.iter().all(|layer| layer["reason"].is_string()) && planned.len() == 11);
        let checkpoint = open(&out.join("model.safetensors")).unwrap();
        let shard = &checkpoint.shards[0];
        let bytes = |name: &str| shard.bytes(shard.tensors.iter().find(|t| t.name == name).unwrap()).into_owned();
        let scales = bytes("zeros.weight_scale");
        assert!(scales.as_chunks::<4>().0.iter().all(|s| f32::from_le_bytes(*s) > 0.0));
        let zeros = finished.report.layers.iter().find(|layer| layer.name == "zeros").unwrap();
        assert_eq!(zeros.weights.as_ref().unwrap().max_abs_error, 0.0, "zeros must decode to zeros");
    }
}
