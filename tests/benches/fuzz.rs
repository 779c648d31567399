//! Feeds every parser with what strangers could send: mutations of good inputs and of inputs that once did harm.
//!
//! `cargo bench --bench fuzz -- [--seconds N] [--seed N] [TARGET…]`, or `make fuzz`. A panic, an input that takes longer than two seconds and
//! one that takes more than 1 GiB are findings: the input is saved in `target/fuzz`, and the exit code is 1. What was mended
//! goes to `tests/benches/fuzz/corpus/TARGET`, and is tried first from then on.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::print_stdout,
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    reason = "a program that reports, and is no library"
)]

#[path = "fuzz/mutate.rs"]
mod mutate;
#[path = "fuzz/targets.rs"]
mod targets;

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind, set_hook},
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use self::{
    mutate::Mutator,
    targets::{TARGETS, Target},
};

/// An input that takes longer is a finding.
const SLOW: Duration = Duration::from_secs(2);

struct Arguments {
    seconds: u64,
    seed: u64,
    targets: Vec<String>,
}

fn arguments() -> Arguments {
    let mut parsed = Arguments { seconds: 5, seed: 1, targets: Vec::new() };
    let mut given = std::env::args().skip(1);
    while let Some(argument) = given.next() {
        let mut number = || given.next().and_then(|text| text.parse().ok()).expect("a number");
        match argument.as_str() {
            "--seconds" => parsed.seconds = number(),
            "--seed" => parsed.seed = number(),
            // Cargo's own.
            "--bench" => {}
            name => parsed.targets.push(name.to_owned()),
        }
    }
    parsed
}

fn main() -> ExitCode {
    if !std::env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS; // `cargo test --benches` only wants to know that it starts
    }
    let Arguments { seconds, seed, targets } = arguments();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let found = root.join("target/fuzz");
    fs::create_dir_all(&found).expect("a folder");
    // What is caught is reported as a finding.
    set_hook(Box::new(|_| {}));
    let mut findings = 0;
    for target in TARGETS.iter().filter(|target| targets.is_empty() || targets.iter().any(|name| name == target.name)) {
        findings += run(target, root, &found, Duration::from_secs(seconds), seed);
    }
    if findings == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Tries a target for a while. How many inputs did harm.
fn run(target: &Target, root: &Path, found: &Path, patience: Duration, seed: u64) -> usize {
    let mut seeds = (target.seeds)(&root.join("tests/fixtures"));
    let saved = files(&root.join("tests/benches/fuzz/corpus").join(target.name));
    seeds.extend(saved.iter().map(|path| fs::read(path).expect("a saved input")));
    assert!(!seeds.is_empty(), "{} has seeds", target.name);
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let mut mutator = Mutator::new(seed);
    let (began, mut tried, mut findings, mut slowest) = (Instant::now(), 0_u64, 0, Duration::ZERO);
    while tried < seeds.len() as u64 || began.elapsed() < patience {
        // The seeds themselves first.
        let input = match usize::try_from(tried).ok().and_then(|at| seeds.get(at)) {
            Some(seed) => seed.clone(),
            None => mutator.mutated(&seeds),
        };
        tried += 1;
        // Should it end this process, it is there.
        let current = found.join(format!("{}.current", target.name));
        fs::write(&current, &input).expect("written");
        let started = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| (target.try_it)(&input, scratch.path())));
        let took = started.elapsed();
        slowest = slowest.max(took);
        let harm = match outcome {
            Err(panic) => Some(format!("panic: {}", message(&*panic))),
            Ok(()) if took > SLOW => Some(format!("{took:?}")),
            Ok(()) => None,
        };
        if let Some(harm) = harm {
            findings += 1;
            let name = found.join(format!("{}-{seed}-{tried}", target.name));
            fs::copy(&current, &name).expect("saved");
            println!("{}: {harm}: {}", target.name, name.display());
            if findings >= 10 {
                break;
            }
        }
    }
    let rate = tried as f64 / began.elapsed().as_secs_f64();
    println!("{:12} {tried:>8} inputs, {rate:>7.0} a second, slowest {slowest:?}, {findings} findings", target.name);
    findings
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    files
}

fn message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("?")
}
