//! Models of strangers that crash, hang or eat the engine: each ends its own job and nothing else. What a job's process may
//! not do, it cannot.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use ptqd::{
    compute::{Compute, ComputeSettings},
    config::Isolation,
};
use serde_json::{Value, json};

use crate::support::{Client, Process, needed, program, python, serve, uri};

const TIMEOUT: u64 = 4;

fn static_ptq(folder: &Path, model: &str) -> Value {
    // Its one layer, by name: it is too small for a placement that goes by `*` alone.
    let rule = json!({"module_name": "first", "weights": {"dtype": "int8"}, "activations": {"dtype": "int8"}});
    json!({
        "model": {"uri": uri(&folder.join(format!("{model}.onnx")))},
        "calibration": {"uri": uri(&folder.join("data.npz"))},
        "quantize": {"backend": "modelopt", "mode": "static_ptq", "layers": [rule]},
        "timeout_seconds": TIMEOUT,
    })
}

/// A server whose jobs may take 1 GiB to run a model.
fn start(data: &Path, workers: usize) -> Process {
    let mut program = program("serve", data, None);
    program.args(["--engine-memory-mib", "1024", "--workers", &workers.to_string()]);
    serve(program)
}

/// The processes that have this one for a parent.
fn children(parent: u32) -> Vec<u32> {
    let listed = Command::new("ps").args(["-o", "pid=", "--ppid", &parent.to_string()]).output().unwrap();
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    text.lines().filter_map(|line| line.trim().parse().ok()).collect()
}

/// Watches that the server answers while `ended` is not.
fn worst_answer(client: &Client, ended: impl Fn() -> bool) -> Duration {
    let mut worst = Duration::ZERO;
    while !ended() {
        let began = Instant::now();
        assert_eq!(client.get("/healthz").0, 200);
        worst = worst.max(began.elapsed());
        thread::sleep(Duration::from_millis(20));
    }
    worst
}

#[test]
fn a_hostile_model_ends_its_own_job_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let expected = python("hostile_models.py", &[folder.path()]);
    let server = start(&folder.path().join("data"), 2);
    let client = &server.client;
    for (name, codes) in expected.as_object().unwrap() {
        let began = Instant::now();
        let hostile = client.submit(&static_ptq(folder.path(), name));
        let honest = client.submit(&static_ptq(folder.path(), "honest"));
        let ended = |id: &str| client.json(&format!("/v1/jobs/{id}"))["finished_at"].is_number();
        let worst = worst_answer(client, || ended(&honest) && ended(&hostile));
        let took = began.elapsed();
        let [hostile, honest] = [hostile, honest].map(|id| client.json(&format!("/v1/jobs/{id}")));
        assert_eq!(honest["status"], "succeeded", "beside {name}: {honest:#}");
        let outcome = hostile["error"]["code"].as_str().or(hostile["status"].as_str()).unwrap();
        assert!(codes.as_array().unwrap().iter().any(|code| code == outcome), "{name}: {outcome} {hostile:#}");
        assert_eq!(hostile["attempt"], 1, "{name} is not tried again: {hostile:#}");
        eprintln!("{name}: {outcome} after {took:?}, the slowest answer {worst:?}");
    }
    assert!(children(server.child.id()).len() <= 2, "two processes wait for the next job");
    let left: Vec<PathBuf> =
        fs::read_dir(folder.path().join("data/scratch")).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(left, Vec::<PathBuf>::new());
}

#[test]
fn what_does_not_listen_ends_within_its_grace() {
    let folder = tempfile::tempdir().unwrap();
    python("hostile_models.py", &[folder.path()]);
    let server = start(&folder.path().join("data"), 1);
    let client = &server.client;
    for name in ["long_operator", "endless_loop"] {
        let mut job = static_ptq(folder.path(), name);
        job["timeout_seconds"] = json!(600);
        let id = client.submit(&job);
        // Until it runs in the engine, which no message says.
        thread::sleep(Duration::from_secs(2));
        assert_eq!(client.json(&format!("/v1/jobs/{id}"))["status"], "running", "{name}");
        let began = Instant::now();
        assert!(client.send("POST", &format!("/v1/jobs/{id}/cancel"), &[], None).status < 300);
        let job = client.wait(&id);
        assert_eq!(job["status"], "cancelled", "{name}: {job:#}");
        assert!(began.elapsed() < Duration::from_secs(4), "{name} took {:?}", began.elapsed());
    }
}

#[test]
fn a_job_whose_process_is_killed_leaves_the_server_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    python("hostile_models.py", &[folder.path()]);
    let server = start(&folder.path().join("data"), 1);
    let client = &server.client;
    let mut job = static_ptq(folder.path(), "endless_loop");
    job["timeout_seconds"] = json!(600);
    job["max_attempts"] = json!(1);
    let id = client.submit(&job);
    thread::sleep(Duration::from_secs(2));
    for child in children(server.child.id()) {
        Command::new("sh").args(["-c", &format!("kill -KILL {child}")]).status().unwrap();
    }
    let job = client.wait(&id);
    assert_eq!((&job["status"], &job["error"]["code"]), (&json!("failed"), &json!("memory_insufficient")), "{job:#}");
    let id = client.submit(&static_ptq(folder.path(), "honest"));
    assert_eq!(client.wait(&id)["status"], "succeeded");
}

#[test]
fn the_process_of_a_job_ends_with_its_server() {
    let folder = tempfile::tempdir().unwrap();
    python("hostile_models.py", &[folder.path()]);
    let server = start(&folder.path().join("data"), 1);
    let mut job = static_ptq(folder.path(), "endless_loop");
    job["timeout_seconds"] = json!(600);
    server.client.submit(&job);
    thread::sleep(Duration::from_secs(2));
    let all = children(server.child.id());
    assert!(!all.is_empty());
    server.signal("KILL");
    let began = Instant::now();
    let lives = |pid: &u32| fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "));
    while all.iter().any(lives) {
        assert!(began.elapsed() < Duration::from_secs(5), "{all:?} live on");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_confined_process_is_refused_what_is_not_its_jobs() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("of-another-job");
    fs::write(&secret, "x").unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let probe = |isolation| {
        let settings = ComputeSettings {
            isolation,
            program: env!("CARGO_BIN_EXE_ptqd").into(),
            library: needed("ORT_DYLIB_PATH").into(),
            warm: 0,
        };
        runtime.block_on(Compute::new(settings).probe(vec![secret.clone()])).unwrap()
    };
    for attempt in probe(Isolation::Strict) {
        assert!(attempt.refused, "it can {}", attempt.what);
    }
    // The same without: what refuses is the confinement, not the test's surroundings.
    let open = probe(Isolation::Off);
    let can = |what: &str| open.iter().any(|attempt| attempt.what.contains(what) && !attempt.refused);
    for what in ["of-another-job", "open a socket", "start a program"] {
        assert!(can(what), "{what}: {open:?}");
    }
}

#[test]
fn a_process_that_says_what_it_may_not_is_not_taken_for_one_that_lacks_memory() {
    let folder = tempfile::tempdir().unwrap();
    let liar = folder.path().join("liar");
    // It wants a shard brought, which nobody offered, and then it stays.
    fs::write(&liar, "#!/bin/sh\nprintf '\\015\\000\\000\\000{\"Bring\":\"x\"}'\nexec /bin/sleep 60\n").unwrap();
    fs::set_permissions(&liar, fs::Permissions::from_mode(0o755)).unwrap();
    let library = needed("ORT_DYLIB_PATH").into();
    let settings = ComputeSettings { isolation: Isolation::Auto, program: liar, library, warm: 0 };
    let began = Instant::now();
    let answer = tokio::runtime::Runtime::new().unwrap().block_on(Compute::new(settings).probe(Vec::new()));
    assert_eq!(answer.unwrap_err(), "the process of the computation ended without a result");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}
