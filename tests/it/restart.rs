//! The server killed in the middle of a job, and stopped politely.

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::support::{Process, long_job, program, schema, serve, sharded, uri, wait_for_phase};

/// A server that finds a dead worker's jobs soon.
fn start(data: &Path, database: Option<&str>) -> Process {
    let mut program = program("serve", data, database);
    program.args(["--lease-seconds", "2"]);
    serve(program)
}

fn killed_and_started_again(database: Option<&str>) {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let mut server = start(&data, database);
    let id = server.client.submit(&long_job(folder.path()));
    wait_for_phase(&server.client, &id, "calibrating");
    server.child.kill().expect("killed");
    server.child.wait().expect("gone");
    let server = start(&data, database);
    let job = server.client.wait(&id);
    assert_eq!((&job["status"], &job["attempt"]), (&json!("succeeded"), &json!(1)), "{:#}", job["error"]);
    assert_eq!(job["result"]["summary"]["samples_calibrated"], 24 * 256);
    // Nothing of the first attempt is left: one prefix, and no scratch folder of this job.
    let prefixes = std::fs::read_dir(data.join("artifacts").join(&id)).expect("artifacts").count();
    assert_eq!(prefixes, 1);
}

#[test]
fn a_job_survives_kill_9_of_the_embedded_server() {
    killed_and_started_again(None);
}

#[test]
fn a_job_survives_kill_9_of_a_server_on_postgres() {
    killed_and_started_again(Some(&schema("restart")));
}

#[test]
fn a_polite_stop_gives_the_job_back_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let mut server = start(&data, None);
    let id = server.client.submit(&long_job(folder.path()));
    wait_for_phase(&server.client, &id, "calibrating");
    server.signal("TERM");
    assert!(server.child.wait().expect("ended").success());
    let server = start(&data, None);
    let job = server.client.wait(&id);
    assert_eq!((&job["status"], &job["attempt"]), (&json!("succeeded"), &json!(1)), "{:#}", job["error"]);
}

#[test]
fn a_checkpoint_killed_between_shards_is_resumed_by_the_next_attempt() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, model) = (folder.path().join("data"), sharded(folder.path(), 8192));
    let mut server = start(&data, None);
    let id = server.client.submit(&json!({"model": {"uri": uri(&model)},
        "quantize": {"layers": [{"module_name": "*", "weights": {"dtype": "int8"}}]}}));
    let scratch = data.join("scratch").join(&id);
    let first = scratch.join("out/model-00001-of-00004.safetensors");
    let entry = scratch.join("out").join(ptqd::backend::JOURNAL).join("model-00001-of-00004.safetensors.json");
    let began = Instant::now();
    while !entry.exists() {
        assert!(began.elapsed() < Duration::from_secs(60), "the first shard is never finished");
        std::thread::sleep(Duration::from_micros(200));
    }
    server.child.kill().expect("killed");
    server.child.wait().expect("gone");
    // Not written again: what the first attempt left is marked, and the mark comes out at the end.
    let mut shard = std::fs::read(&first).expect("the finished shard");
    let last = shard.len() - 1;
    shard[last] ^= 0x55;
    std::fs::write(&first, &shard).expect("marked");
    // Of no job: swept.
    let stray = data.join("scratch/qj_00000000000000000000000000000000");
    std::fs::create_dir(&stray).expect("a folder");

    let server = start(&data, None);
    assert!(!stray.exists());
    let job = server.client.wait(&id);
    assert_eq!((&job["status"], &job["attempt"]), (&json!("succeeded"), &json!(1)), "{:#}", job["error"]);
    let (_, _, published) = server.client.get(&format!("/v1/jobs/{id}/artifacts/model-00001-of-00004.safetensors"));
    assert!(published == shard, "the finished shard was done again");
    assert_eq!(std::fs::read_dir(data.join("scratch")).expect("scratch").count(), 0);
}

#[test]
fn a_data_folder_has_one_server() {
    let folder = tempfile::tempdir().expect("a folder");
    let _first = start(folder.path(), None);
    let second = Command::new(env!("CARGO_BIN_EXE_ptqd"))
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(folder.path())
        .output()
        .expect("the program starts");
    assert!(!second.status.success());
    assert!(String::from_utf8_lossy(&second.stderr).contains("in use by another ptqd"));
}
