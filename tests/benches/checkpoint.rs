//! Weight-only PTQ of a large checkpoint, beside `cp` of the same files and, if asked, beside Python's tools.
//!
//! ```text
//! cargo bench --bench checkpoint -- [--gigabytes 4] [--folder DIR] [--runs 3] [--peers PYTHON]
//! ```
//! Makes a Llama-shaped bf16 checkpoint from a fixed seed under DIR, once, and then in each run copies it, quantizes it to
//! int8 and to fp8 per row with the program itself, and prints wall times, the ratio to `cp`, and the largest
//! anonymous memory of the process. `--peers` names a Python with torch, safetensors and torchao, and runs
//! tests/benches/peers.py on the same files.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    missing_docs,
    reason = "a bench prints, fails by panicking, and is no library"
)]

mod llama;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::json;

use llama::{SHARDS, make};

fn option(name: &str) -> Option<String> {
    let arguments: Vec<String> = std::env::args().collect();
    arguments.iter().position(|argument| argument == name).and_then(|at| arguments.get(at + 1).cloned())
}

fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        return; // `cargo test --benches` only wants to know that it starts
    }
    let gigabytes: f64 = option("--gigabytes").map_or(4.0, |text| text.parse().expect("a number"));
    let runs: usize = option("--runs").map_or(3, |text| text.parse().expect("a number"));
    let folder = PathBuf::from(option("--folder").unwrap_or_else(|| "target/bench".to_owned()));
    let model = make(&folder, gigabytes);
    let bytes: u64 = fs::read_dir(&model).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
    println!("checkpoint: {:.2} GB in {SHARDS} shards, {} threads", bytes as f64 / 1e9, rayon::current_num_threads());
    for run in 1..=runs {
        // The faster of two: the first pays for memory that the machine has yet to find.
        let copies = [0, 1].map(|_| {
            let copy = time(|| {
                let status = Command::new("cp").arg("-r").arg(&model).arg(folder.join("copy")).status();
                assert!(status.expect("cp starts").success());
            });
            clear(&folder.join("copy"));
            copy
        });
        let copy = copies[0].min(copies[1]);
        println!("run {run}: cp {:.2} s ({:.2} GB/s)", copy.as_secs_f64(), bytes as f64 / 1e9 / copy.as_secs_f64());
        for dtype in ["int8", "fp8_e4m3fn"] {
            for digests in [false, true] {
                // The faster of two, as of `cp`.
                let [a, b] = [0, 1].map(|_| quantize(&folder, &model, dtype, digests));
                let (wall, memory) = (a.0.min(b.0), a.1.max(b.1));
                println!(
                    "run {run}: ptqd {dtype}{} {:.2} s = {:.2} x cp, {:.2} GB/s of input, {} MiB anonymous at most",
                    if digests { " with SHA-256 of every file" } else { "" },
                    wall.as_secs_f64(),
                    wall.as_secs_f64() / copy.as_secs_f64(),
                    bytes as f64 / 1e9 / wall.as_secs_f64(),
                    memory >> 20
                );
            }
        }
        if let Some(python) = option("--peers") {
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/benches/peers.py");
            let status = Command::new(python).arg(script).arg(&model).arg(folder.join("peer")).status();
            assert!(status.expect("Python starts").success());
        }
    }
}

fn time(work: impl FnOnce()) -> Duration {
    let began = Instant::now();
    work();
    began.elapsed()
}

/// Removes a result and waits for the disk, so that the next run does not pay for this one's writes.
fn clear(folder: &Path) {
    fs::remove_dir_all(folder).unwrap();
    assert!(Command::new("sync").status().expect("sync starts").success());
}

/// Runs the program; its wall time, and the most anonymous memory it was seen to have.
fn quantize(folder: &Path, model: &Path, dtype: &str, digests: bool) -> (Duration, u64) {
    let (out, spec) = (folder.join("out"), folder.join("spec.json"));
    fs::write(&spec, json!({"layers": [{"module_name": "*", "weights": {"dtype": dtype}}]}).to_string()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ptqd"));
    command.arg("quantize").arg("--model").arg(model).arg("--spec").arg(&spec).arg("--out").arg(&out);
    if digests {
        command.arg("--digests");
    }
    let began = Instant::now();
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("ptqd starts");
    let mut most = 0;
    let status = loop {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap_or_default();
        let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().unwrap_or(0);
        most = most.max(kilobytes << 10);
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let wall = began.elapsed();
    assert!(status.success(), "ptqd failed: run it by hand to see why");
    clear(&out);
    (wall, most)
}
