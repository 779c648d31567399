//! Jobs for tests, and waiting for them to come somewhere.

use std::{path::Path, time::Duration};

use serde_json::{Value, json};

use super::{Client, eventually, fixture, repeated, uri};

/// A job that takes a second or so: the same calibration samples many times over.
pub fn long_job(folder: &Path) -> Value {
    calibrating_job(folder, 24)
}

/// A job whose calibration outlasts, on any machine, the time in which a worker hears of a cancellation.
pub fn endless_job(folder: &Path) -> Value {
    calibrating_job(folder, 600)
}

fn calibrating_job(folder: &Path, times: usize) -> Value {
    let path = folder.join("long.npy");
    repeated(&fixture("calibration.npz"), times, &path);
    let int8 = json!({"dtype": "int8"});
    json!({"model": {"uri": uri(&fixture("convnet.onnx"))}, "calibration": {"uri": uri(&path), "batch_size": 1},
        "evaluation": {"uri": uri(&fixture("evaluation.npz")), "labels": "y"},
        "quantize": {"backend": "modelopt", "layers": [{"module_name": "*", "weights": int8, "activations": int8}]}})
}

/// Waits until a job that runs is in this phase.
pub fn wait_for_phase(client: &Client, id: &str, phase: &str) {
    eventually(&format!("the job is {phase}"), Duration::from_secs(60), || {
        client.json(&format!("/v1/jobs/{id}"))["phase"] == phase
    });
}

/// That a cancelled job stopped in this phase, before all of it was done.
pub fn ended_in_the_middle(job: &Value, phase: &str) {
    assert_eq!(job["phase"], phase, "{job:#}");
    let (done, total) = (&job["progress"]["units_done"], &job["progress"]["units_total"]);
    if let (Some(done), Some(total)) = (done.as_f64(), total.as_f64()) {
        assert!(done < total, "all was done before it stopped: {job:#}");
    }
}
