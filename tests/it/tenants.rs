//! Tenants that are strangers to each other: whose turn it is, and what each may hold.

use std::{
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use futures_util::StreamExt;
use serde_json::{Value, json};

use crate::support::{Client, Process, eventually, fixture, key, program, schema, serve_router, start_server, uri};

fn weight_only() -> Value {
    json!({"model": {"uri": uri(&fixture("vit.safetensors"))},
        "quantize": {"backend": "torchao", "layers": [{"module_name": "*", "weights": {"dtype": "int8"}}]}})
}

fn start(url: &str, data: &Path, arguments: &[&str]) -> Process {
    let mut program = program("serve", data, Some(url));
    program.args(["--listen", "127.0.0.1:0"]).args(arguments);
    start_server(program)
}

#[test]
fn one_job_starts_within_the_time_of_another_whatever_others_have_queued() {
    let folder = tempfile::tempdir().unwrap();
    let url = schema("turns");
    let server = start(&url, folder.path(), &["--workers", "1", "--rate-limit", "10000"]);
    let many = server.client.with_key(&key(&url, folder.path(), "many", "jobs:write"));
    let one = server.client.with_key(&key(&url, folder.path(), "one", "jobs:write"));
    for _ in 0..150 {
        let urgent = json!({"priority": 100});
        let mut job = weight_only();
        job.as_object_mut().unwrap().extend(urgent.as_object().unwrap().clone());
        many.submit(&job);
    }
    let job = one.wait(&one.submit(&weight_only()));
    assert_eq!(job["status"], "succeeded", "{:#}", job["error"]);
    let (created, started) = (job["created_at"].as_i64().unwrap(), job["started_at"].as_i64().unwrap());
    let listed = many.json("/v1/jobs?limit=100");
    let began = |job: &&Value| job["started_at"].as_i64().is_some_and(|at| (created..=started).contains(&at));
    // The one that ran when it came may end, and one more may have been taken in the same millisecond.
    assert!(listed["jobs"].as_array().unwrap().iter().filter(began).count() <= 1, "{listed:#}");
    let mut urgent = weight_only();
    urgent["priority"] = json!(101);
    let refused = one.send("POST", "/v1/jobs", &[], Some(&urgent));
    assert_eq!((refused.status, &refused.json()["errors"][0]["code"]), (422, &json!("out_of_range")));
}

#[test]
fn a_tenant_cannot_hold_more_than_its_quotas() {
    let folder = tempfile::tempdir().unwrap();
    let url = schema("quotas");
    let limits = ["--tenant-queue-limit", "2", "--tenant-upload-mib", "1", "--tenant-artifact-mib", "0"];
    let server = start(&url, folder.path(), &[&["--workers", "0"], &limits[..]].concat());
    let full = server.client.with_key(&key(&url, folder.path(), "full", "jobs:write"));
    let other = server.client.with_key(&key(&url, folder.path(), "other", "jobs:write"));
    let (first, _) = (full.submit(&weight_only()), full.submit(&weight_only()));
    let refused = full.send("POST", "/v1/jobs", &[], Some(&weight_only()));
    assert_eq!((refused.status, &refused.json()["code"]), (429, &json!("queue_full")));
    assert_eq!((refused.header("retry-after"), &refused.json()["retryable"]), ("30", &json!(true)));
    other.submit(&weight_only());
    // With one that waits less there is room for one more, and none for another by a retry.
    assert_eq!(full.send("POST", &format!("/v1/jobs/{first}/cancel"), &[], None).status, 200);
    full.submit(&weight_only());
    assert_eq!(full.send("POST", &format!("/v1/jobs/{first}/retry"), &[], None).status, 429);

    let put = |client: &Client, name: &str, bytes: usize| {
        let request = ureq::put(format!("{}/v1/uploads/{name}", client.url))
            .header("authorization", format!("Bearer {}", client.key.as_deref().unwrap()));
        let mut answer = request.config().http_status_as_error(false).build().send(&vec![1_u8; bytes][..]).unwrap();
        (answer.status().as_u16(), answer.body_mut().read_json::<Value>().unwrap())
    };
    assert_eq!(put(&full, "a", 600 << 10).0, 201);
    let (status, problem) = put(&full, "b", 600 << 10);
    assert_eq!((status, &problem["code"]), (403, &json!("quota_exceeded")), "{problem:#}");
    assert_eq!(put(&full, "c", 300 << 10).0, 201, "what did not fit is not counted");
    assert_eq!(put(&other, "a", 1 << 20).0, 201);
    assert_eq!(full.send("DELETE", "/v1/uploads/a", &[], None).status, 204);
    assert_eq!(put(&full, "b", 600 << 10).0, 201);

    let mut tenants = Command::new(env!("CARGO_BIN_EXE_ptqd"));
    tenants.args(["tenants", "--data-dir"]).arg(folder.path()).args(limits).env("PTQD_DATABASE_URL", &url);
    let output = tenants.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find(|line| line.starts_with("full ")).unwrap_or_else(|| panic!("{text}"));
    let columns: Vec<&str> = line.split("  ").map(str::trim).filter(|column| !column.is_empty()).collect();
    assert_eq!(columns, ["full", "2 of 2", "0", "921.6 kB of 1.0 MB", "0.0 B"]);
}

/// A file that is large by its own account, and comes a byte at a time.
async fn drips(State(asked): State<Arc<AtomicUsize>>) -> Response {
    asked.fetch_add(1, Ordering::Relaxed);
    let drops = futures_util::stream::repeat(()).then(|()| async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        Ok::<_, std::io::Error>(Bytes::from_static(b"\0"))
    });
    let range = [(header::CONTENT_RANGE, "bytes 0-0/100000000")];
    (StatusCode::PARTIAL_CONTENT, range, Body::from_stream(drops)).into_response()
}

#[test]
fn plans_from_a_server_that_drips_end_in_time_and_hold_up_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let database = schema("drips");
    let asked = Arc::new(AtomicUsize::new(0));
    let slow = serve_router(Router::new().route("/{name}", get(drips)).with_state(Arc::clone(&asked)));
    let limits =
        ["--sources-private", "--file-root", fixture("").to_str().unwrap(), "--plan-seconds", "5"].map(String::from);
    let rates = ["--input-rate-seconds", "2", "--max-plans", "4"].map(String::from);
    let arguments: Vec<&str> = limits.iter().chain(&rates).map(String::as_str).collect();
    let server = start(&database, folder.path(), &arguments);
    let full = server.client.with_key(&key(&database, folder.path(), "full", "jobs:write"));
    let other = server.client.with_key(&key(&database, folder.path(), "other", "jobs:write"));
    let plan = |client: &Client, uri: &str| {
        let mut job = weight_only();
        job["model"]["uri"] = json!(uri);
        let began = Instant::now();
        let answer = client.send("POST", "/v1/plans", &[], Some(&job));
        (answer.status, answer.json(), began.elapsed())
    };
    let dripping: Vec<_> = (0..4)
        .map(|n| {
            let (client, uri) = (full.clone(), format!("{slow}/{n}.safetensors"));
            std::thread::spawn(move || plan(&client, &uri))
        })
        .collect();
    // Two are under way, and two wait: none of these is in anybody else's way.
    eventually("two plans are under way", Duration::from_secs(10), || asked.load(Ordering::Relaxed) >= 2);
    let (status, planned, took) = plan(&other, &uri(&fixture("vit.safetensors")));
    assert_eq!(status, 200, "{planned:#}");
    assert!(took < Duration::from_secs(2), "{took:?}");
    for thread in dripping {
        let (status, problem, took) = thread.join().unwrap();
        assert_eq!((status, &problem["code"]), (503, &json!("input_too_slow")), "{problem:#}");
        assert!(took < Duration::from_secs(12), "{took:?}");
    }
    // A job from there ends likewise, and leaves the worker to others.
    let mut job = weight_only();
    job["model"]["uri"] = json!(format!("{slow}/job.safetensors"));
    job["max_attempts"] = json!(1);
    let failed = full.wait(&full.submit(&job));
    assert_eq!(failed["error"]["code"], "input_too_slow", "{failed:#}");
}
