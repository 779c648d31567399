//! Artifacts in an S3 bucket: a real server (moto's), processes that share nothing but it and Postgres.

use std::{path::Path, time::Duration};

use ptqd::digest::sha256_hex;
use serde_json::{Value, json};

use crate::support::{
    Cloud, Process, eventually, fixture, in_shards, program, schema, serve, uri, wait_for_phase, work,
};

fn int8(model: &Path) -> Value {
    json!({"model": {"uri": uri(model)}, "quantize": {"layers": [{"module_name": "*", "weights": {"dtype": "int8"}}]}})
}

#[test]
fn a_job_leaves_its_files_in_the_bucket_and_takes_them_along_when_it_goes() {
    let (s3, folder) = (Cloud::moto(), tempfile::tempdir().unwrap());
    let server = serve(s3.program("serve", folder.path(), None));
    let client = &server.client;
    assert_eq!(client.json("/readyz")["store"], "ok");
    let job = client.wait(&client.submit(&int8(&fixture("vit.safetensors"))));
    assert_eq!(job["status"], "succeeded", "{:#}", job["error"]);
    let artifacts = job["result"]["artifacts"].as_array().unwrap();
    assert_eq!(s3.keys("team").len(), artifacts.len());
    assert!(s3.keys("team").iter().all(|key| key.starts_with("team/ptqd/qj_")), "{:?}", s3.keys("team"));
    for artifact in artifacts {
        let file = client.send("GET", artifact["href"].as_str().unwrap(), &[], None);
        assert_eq!((file.status, json!(sha256_hex(&file.body))), (200, artifact["sha256"].clone()));
        let part = client.send("GET", artifact["href"].as_str().unwrap(), &[("range", "bytes=5-14")], None);
        assert_eq!((part.status, &part.body[..]), (206, &file.body[5..15]));
    }
    assert!(!folder.path().join("artifacts").exists(), "nothing is kept here");
    let gone = client.send("DELETE", &format!("/v1/jobs/{}", job["id"].as_str().unwrap()), &[], None);
    assert_eq!((gone.status, s3.keys("team")), (204, Vec::<String>::new()));
}

#[test]
fn workers_share_a_checkpoint_through_the_bucket() {
    let (s3, folder, url) = (Cloud::moto(), tempfile::tempdir().unwrap(), schema("s3"));
    let server = serve({
        let mut program = s3.program("serve", &folder.path().join("server"), Some(&url));
        program.args(["--workers", "0"]);
        program
    });
    let client = &server.client;
    let worker = |n: usize| {
        let mut program = s3.program("worker", &folder.path().join(format!("worker{n}")), Some(&url));
        program.args(["--fan-out-mib", "1", "--lease-seconds", "3"]);
        work(program)
    };
    let workers: Vec<Process> = (0..2).map(worker).collect();
    eventually("two workers are alive", Duration::from_secs(20), || {
        String::from_utf8(client.get("/metrics").2).unwrap().contains("ptqd_workers 2")
    });
    // Shards of 16 MB: several parts each.
    let model = in_shards(folder.path(), 4, 8192);
    let id = client.submit(&int8(&model));
    let job = client.wait(&id);
    assert_eq!(job["status"], "succeeded", "{:#}", job["error"]);
    for artifact in job["result"]["artifacts"].as_array().unwrap() {
        let (_, _, body) = client.get(artifact["href"].as_str().unwrap());
        assert_eq!(json!(sha256_hex(&body)), artifact["sha256"], "{artifact}");
    }
    let kept = s3.keys("team").len();
    assert_eq!(kept, job["result"]["artifacts"].as_array().unwrap().len());

    // Cancelled in the middle: neither an object nor half an upload is left.
    let id = client.submit(&int8(&model));
    wait_for_phase(client, &id, "quantizing");
    std::thread::sleep(Duration::from_millis(300));
    client.send("POST", &format!("/v1/jobs/{id}/cancel"), &[], None);
    client.wait(&id);
    eventually("nothing is left of it", Duration::from_secs(10), || (s3.keys("team").len(), s3.uploads()) == (kept, 0));
    drop(workers);
}

#[test]
fn a_store_that_cannot_be_reached_is_reported_and_the_job_retried() {
    let (s3, folder) = (Cloud::moto(), tempfile::tempdir().unwrap());
    // A bucket that is not there.
    let server = serve(s3.program_at(&s3.url, "s3://missing/x", "serve", folder.path(), None));
    let ready = server.client.send("GET", "/readyz", &[], None);
    assert_eq!((ready.status, &ready.json()["ready"]), (503, &json!(false)), "{:#}", ready.json());
    let mut job = int8(&fixture("vit.safetensors"));
    job["max_attempts"] = json!(1);
    let failed = server.client.wait(&server.client.submit(&job));
    let error = &failed["error"];
    assert_eq!((&error["code"], &error["retryable"]), (&json!("store_failed"), &json!(true)), "{error:#}");
    assert_eq!(error["phase"], "publishing");
    for wrong in ["ftp://x/y", "s3://"] {
        let output = program_with(folder.path(), wrong);
        assert!(!output.status.success(), "{wrong}");
    }
}

fn program_with(data: &Path, artifacts: &str) -> std::process::Output {
    let mut program = program("serve", &data.join("other"), None);
    program.args(["--listen", "127.0.0.1:0", "--artifacts", artifacts]).output().unwrap()
}
