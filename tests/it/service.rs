//! The API's newer half: idempotency, entity tags, waiting, cancelling, retrying, plans, comparison, ranges, webhooks.

use std::{
    io::{Read, Write},
    net::TcpListener,
    sync::mpsc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::support::{Server, ended_in_the_middle, endless_job, eventually, fixture, sharded, uri, wait_for_phase};

fn weight_only() -> Value {
    json!({"model": {"uri": uri(&fixture("vit.safetensors"))}, "labels": {"team": "x"},
        "quantize": {"backend": "torchao", "layers": [{"module_name": "Linear", "weights": {"dtype": "int8"}}]}})
}

#[test]
fn a_request_may_be_sent_twice() {
    let server = Server::start_with(|config| config.workers = 0);
    let send =
        |key: &str, body: &Value| server.client.send("POST", "/v1/jobs", &[("idempotency-key", key)], Some(body));
    let first = send("k1", &weight_only());
    assert_eq!((first.status, first.header("idempotency-replayed")), (202, ""));
    // The same fields in another order are the same request.
    let mut fields: Vec<_> = weight_only().as_object().unwrap().clone().into_iter().collect();
    fields.reverse();
    let again = send("k1", &Value::Object(fields.into_iter().collect()));
    assert_eq!((again.status, again.header("idempotency-replayed")), (202, "true"));
    assert_eq!(again.json()["id"], first.json()["id"]);
    let mut other = weight_only();
    other["priority"] = json!(1);
    let reused = send("k1", &other);
    assert_eq!((reused.status, &reused.json()["code"]), (422, &json!("idempotency_key_reused")));
    assert_eq!(send("", &weight_only()).status, 400);
    assert_eq!(send(&"x".repeat(256), &weight_only()).status, 400);
    assert_eq!(server.client.json("/v1/jobs")["jobs"].as_array().unwrap().len(), 1);

    let mut named = weight_only();
    named["name"] = json!("vit");
    assert_eq!(server.client.send("POST", "/v1/jobs", &[], Some(&named)).status, 202);
    let taken = server.client.send("POST", "/v1/jobs", &[], Some(&named));
    assert_eq!((taken.status, &taken.json()["code"]), (409, &json!("name_taken")));

    let valid = server.client.send("POST", "/v1/jobs?validate_only=true", &[], Some(&weight_only()));
    assert_eq!((valid.status, &valid.json()["valid"]), (200, &json!(true)));
    assert_eq!(valid.json()["effective_config"]["mode"], "weight_only_ptq");
    other["quantize"]["mode"] = json!("never");
    assert_eq!(server.client.send("POST", "/v1/jobs?validate_only=true", &[], Some(&other)).status, 422);
    assert_eq!(server.client.json("/v1/jobs")["jobs"].as_array().unwrap().len(), 2);
}

#[test]
fn whole_numbers_may_be_written_as_floats() {
    let server = Server::start_with(|config| config.workers = 0);
    let mut job = weight_only();
    job["timeout_seconds"] = json!(60.0);
    job["priority"] = json!(-2.0);
    let made = server.client.send("POST", "/v1/jobs", &[], Some(&job));
    assert_eq!((made.status, &made.json()["config"]["timeout_seconds"]), (202, &json!(60)));
    job["timeout_seconds"] = json!(0.5);
    assert_eq!(server.client.send("POST", "/v1/jobs", &[], Some(&job)).status, 422);
}

#[test]
fn a_waiting_request_answers_when_the_job_changes() {
    let server = Server::start();
    let waited = server.client.send("POST", "/v1/jobs", &[("prefer", "wait=20")], Some(&weight_only()));
    assert_eq!((waited.status, waited.header("preference-applied")), (200, "wait=20"));
    assert_eq!(waited.json()["status"], "succeeded");
    let id = waited.json()["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/jobs/{id}");
    let shown = server.client.send("GET", &path, &[("prefer", "wait=20")], None);
    assert_eq!(
        (shown.status, shown.header("etag")),
        (200, waited.header("etag")),
        "a job that has ended is answered at once"
    );
    let same = server.client.send("GET", &path, &[("if-none-match", shown.header("etag"))], None);
    assert_eq!((same.status, same.body.len()), (304, 0));

    let idle = Server::start_with(|config| config.workers = 0);
    let began = Instant::now();
    let waited = idle.client.send("POST", "/v1/jobs", &[("prefer", "wait=1")], Some(&weight_only()));
    assert_eq!((waited.status, &waited.json()["status"]), (202, &json!("queued")));
    // As long as was asked for, and not the 30 seconds that are the most.
    assert!((Duration::from_secs(1)..Duration::from_secs(25)).contains(&began.elapsed()), "{:?}", began.elapsed());
    let path = format!("/v1/jobs/{}", waited.json()["id"].as_str().unwrap());
    let headers = [("prefer", "wait=20"), ("if-none-match", waited.header("etag"))];
    let (client, cancel) = (idle.client.clone(), format!("{path}/cancel"));
    let cancelling = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        client.send("POST", &cancel, &[], None).status
    });
    let began = Instant::now();
    let changed = idle.client.send("GET", &path, &headers, None);
    assert_eq!((changed.status, &changed.json()["status"]), (200, &json!("cancelled")));
    // One that gets no notification of the change reads the job when the 20 seconds are over.
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    assert_eq!(cancelling.join().unwrap(), 200);
}

/// What is left in the scratch folder and of a job's artifacts.
fn left(server: &Server, id: &str) -> Vec<String> {
    let data = server.folder.path().join("data");
    let entries =
        std::fs::read_dir(data.join("scratch")).unwrap().chain(std::fs::read_dir(data.join("artifacts")).unwrap());
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).filter(|name| name.contains(id)).collect()
}

#[test]
fn a_running_job_is_cancelled_in_the_middle_and_leaves_nothing() {
    let server = Server::start();
    let checkpoint = json!({"model": {"uri": uri(&sharded(server.folder.path(), 16384))},
        "quantize": {"layers": [{"module_name": "*", "weights": {"dtype": "int8"}}]}});
    for (job, phase) in [(endless_job(server.folder.path()), "calibrating"), (checkpoint, "quantizing")] {
        let id = server.client.submit(&job);
        wait_for_phase(&server.client, &id, phase);
        let asked = server.client.send("POST", &format!("/v1/jobs/{id}/cancel"), &[], None);
        assert_eq!((asked.status, &asked.json()["status"]), (200, &json!("cancelling")));
        let ended = server.client.wait(&id);
        assert_eq!(ended["status"], "cancelled");
        ended_in_the_middle(&ended, phase);
        assert!(ended["cancel_requested_at"].as_i64() <= ended["finished_at"].as_i64());
        eventually("nothing is left", Duration::from_secs(5), || left(&server, &id).is_empty());
        assert_eq!(server.client.send("POST", &format!("/v1/jobs/{id}/cancel"), &[], None).status, 200, "idempotent");
    }
}

#[test]
fn a_job_that_runs_too_long_is_timed_out() {
    let server = Server::start();
    let mut job = endless_job(server.folder.path());
    job["timeout_seconds"] = json!(1);
    let ended = server.client.wait(&server.client.submit(&job));
    assert_eq!((&ended["status"], &ended["error"]["code"]), (&json!("timed_out"), &json!("timed_out")), "{ended:#}");
}

#[test]
fn a_failed_job_is_tried_again_with_what_was_wrong_mended() {
    let server = Server::start();
    let mut job = weight_only();
    job["model"]["uri"] = json!(uri(&server.folder.path().join("missing.safetensors")));
    let id = server.client.submit(&job);
    assert_eq!(server.client.wait(&id)["status"], "failed");
    let retry = format!("/v1/jobs/{id}/retry");
    let renamed = server.client.send("POST", &retry, &[], Some(&json!({"name": "x"})));
    assert_eq!((renamed.status, &renamed.json()["errors"][0]["pointer"]), (422, &json!("/name")));
    let stale = server.client.send("POST", &retry, &[("if-match", "\"999\"")], None);
    assert_eq!(stale.status, 412);
    let patch = json!({"model": {"uri": weight_only()["model"]["uri"]}, "labels": null});
    let queued = server.client.send("POST", &retry, &[], Some(&patch));
    assert_eq!(queued.status, 202, "{:#}", queued.json());
    let ended = server.client.wait(&id);
    assert_eq!((&ended["status"], &ended["attempt"], &ended["labels"]), (&json!("succeeded"), &json!(1), &json!({})));
    assert_eq!(server.client.send("POST", &retry, &[], None).status, 409);
    // The log goes on: one who followed from the first event sees both endings.
    let events = server.client.json(&format!("/v1/jobs/{id}/events?after=0"));
    let endings = events["events"].as_array().unwrap().iter().filter_map(|e| e["data"]["status"].as_str());
    let endings: Vec<&str> = endings.collect();
    assert_eq!(endings, ["queued", "running", "failed", "queued", "running", "succeeded"]);

    let path = format!("/v1/jobs/{id}");
    assert_eq!(server.client.send("DELETE", &path, &[("if-match", "\"1\"")], None).status, 412);
    assert_eq!(server.client.send("DELETE", &path, &[], None).status, 204);
    assert_eq!(server.client.send("DELETE", &path, &[], None).status, 404);
    assert_eq!(left(&server, &id), Vec::<String>::new());
    let queued = Server::start_with(|config| config.workers = 0);
    let id = queued.client.submit(&weight_only());
    let refused = queued.client.send("DELETE", &format!("/v1/jobs/{id}"), &[], None);
    assert_eq!((refused.status, &refused.json()["code"]), (409, &json!("state_conflict")));
}

#[test]
fn plans_are_made_without_running_anything() {
    let server = Server::start_with(|config| config.workers = 0);
    let plan = |job: &Value| server.client.send("POST", "/v1/plans", &[], Some(job));
    let dry = plan(&weight_only()).json();
    assert_eq!(dry["plan"]["patterns"][0]["matches"], 14, "{dry:#}");
    assert!(dry["bytes_after"].as_u64().unwrap() * 3 < dry["bytes_before"].as_u64().unwrap());
    assert_eq!((&dry["shards"], &dry["predicted_peak_bytes"]), (&Value::Null, &Value::Null));
    let int8 = json!({"dtype": "int8"});
    let mut job = json!({"model": {"uri": uri(&fixture("convnet.onnx"))},
        "quantize": {"backend": "modelopt", "layers": [{"module_name": "*", "weights": int8, "activations": int8}]}});
    let without_data = plan(&job);
    assert_eq!(without_data.status, 200, "{:#}", without_data.json());
    job["calibration"] = json!({"uri": uri(&fixture("calibration.npz"))});
    let dry = plan(&job).json();
    assert!(dry["predicted_peak_bytes"].as_u64().unwrap() > 1 << 20, "{dry:#}");
    job["quantize"]["skip_names"] = json!(["nothing_like_this"]);
    let unmatched = plan(&job);
    assert_eq!((unmatched.status, &unmatched.json()["code"]), (422, &json!("invalid_job")));
    assert_eq!(unmatched.json()["errors"][0]["pointer"], "/quantize/skip_names/0");
    job["model"]["uri"] = json!("file:///not/there.onnx");
    let missing = plan(&job);
    assert_eq!((missing.status, &missing.json()["code"]), (422, &json!("input_not_found")));
    assert!(!missing.json()["errors"][0]["hint"].as_str().unwrap().is_empty());
    // A sharded one says so.
    let sharded = json!({"model": {"uri": uri(&sharded(server.folder.path(), 256))},
        "quantize": {"layers": [{"module_name": "*", "weights": int8}]}});
    assert_eq!(plan(&sharded).json()["shards"], 4);
}

#[test]
fn the_catalogue_has_a_schema_that_takes_what_the_service_takes() {
    let server = Server::start_with(|config| config.workers = 0);
    let listed = server.client.json("/v1/backends");
    let names: Vec<&str> = listed["backends"].as_array().unwrap().iter().map(|b| b["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["modelopt", "torchao"]);
    let modelopt = server.client.json("/v1/backends/modelopt");
    assert_eq!(modelopt, listed["backends"][0]);
    assert_eq!(modelopt["algorithms"][0], "minmax");
    let kwargs = &modelopt["schema"]["properties"]["backend_kwargs"]["properties"];
    assert_eq!(kwargs["placement"]["enum"], json!(["tensorrt", "onnxruntime", "openvino", "minimal"]));
    assert!(kwargs.as_object().unwrap().len() == modelopt["options"].as_array().unwrap().len());
    assert_eq!(server.client.get("/v1/backends/other").0, 404);
}

#[test]
fn two_reports_are_compared() {
    let server = Server::start();
    let other = |dtype: &str| {
        let mut job = weight_only();
        job["quantize"]["layers"][0]["weights"]["dtype"] = json!(dtype);
        let id = server.client.submit(&job);
        assert_eq!(server.client.wait(&id)["status"], "succeeded");
        id
    };
    let (a, b) = (other("int8"), other("fp8_e4m3fn"));
    let compared = server.client.json(&format!("/v1/reports/compare?a={a}&b={b}"));
    assert_eq!(compared["same_model"], true);
    let layers = compared["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 14);
    let changes: Vec<f64> = layers.iter().map(|l| l["weights_sqnr_db"]["change"].as_f64().unwrap()).collect();
    assert!(changes.iter().all(|&change| change < 0.0), "fp8 is coarser than int8: {changes:?}");
    assert!(changes.windows(2).all(|w| w[0].abs() >= w[1].abs()));
    assert_eq!(compared["summary"]["layers_quantized"], json!({"a": 14.0, "b": 14.0, "change": 0.0}));
    let same = server.client.json(&format!("/v1/reports/compare?a={a}&b={a}"));
    assert_eq!((&same["layers"], same["layers_equal"].as_u64().unwrap() >= 14), (&json!([]), true));
    assert_eq!(server.client.get(&format!("/v1/reports/compare?a={a}&b=qj_0")).0, 404);
    assert_eq!(server.client.get("/v1/reports/compare").0, 400);
}

#[test]
fn downloads_can_be_resumed() {
    let server = Server::start();
    let id = server.client.submit(&weight_only());
    let job = server.client.wait(&id);
    let path = job["result"]["artifacts"][0]["href"].as_str().unwrap();
    let get = |headers: &[(&str, &str)]| server.client.send("GET", path, headers, None);
    let whole = get(&[]);
    let sha256 = job["result"]["artifacts"][0]["sha256"].as_str().unwrap();
    assert_eq!((whole.status, whole.header("etag")), (200, &*format!("\"{sha256}\"")));
    assert!(whole.header("repr-digest").starts_with("sha-256=:") && whole.header("accept-ranges") == "bytes");
    let (size, tag) = (whole.body.len(), whole.header("etag"));
    let part = get(&[("range", "bytes=100-199")]);
    assert_eq!((part.status, part.header("content-range")), (206, &*format!("bytes 100-199/{size}")));
    assert_eq!(part.body, whole.body[100..200]);
    let rest = get(&[("range", &format!("bytes={}-", size - 7)), ("if-range", tag)]);
    assert_eq!((rest.status, &rest.body[..]), (206, &whole.body[size - 7..]));
    assert_eq!(get(&[("range", "bytes=0-9"), ("if-range", "\"other\"")]).body.len(), size);
    let beyond = get(&[("range", &format!("bytes={size}-"))]);
    assert_eq!((beyond.status, beyond.header("content-range")), (416, &*format!("bytes */{size}")));
    assert_eq!(get(&[("if-none-match", tag)]).status, 304);
}

#[test]
fn lists_are_filtered() {
    let server = Server::start_with(|config| config.workers = 0);
    let first = server.client.submit(&weight_only());
    let mut other = weight_only();
    other["labels"] = json!({"team": "y:z"});
    other["name"] = json!("second");
    let second = server.client.submit(&other);
    let ids = |query: &str| -> Vec<String> {
        let page = server.client.json(&format!("/v1/jobs?{query}"));
        page["jobs"].as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids("label=team:x"), std::slice::from_ref(&first));
    assert_eq!(ids("label=team:y:z"), std::slice::from_ref(&second));
    assert_eq!(ids("name=second&backend=torchao"), std::slice::from_ref(&second));
    assert_eq!(ids("backend=modelopt"), Vec::<String>::new());
    let created = server.client.json(&format!("/v1/jobs/{second}"))["created_at"].as_i64().unwrap();
    assert_eq!(ids(&format!("created_after={}", created + 1)), Vec::<String>::new());
    assert_eq!(ids(&format!("created_before={}&limit=1", created + 1)), [second]);
    for wrong in ["label=x", "odd=1", "created_after=x", "name=%00"] {
        assert_eq!(server.client.get(&format!("/v1/jobs?{wrong}")).0, 400, "{wrong}");
    }
}

/// A receiver that answers with these statuses in turn, and tells what it was sent.
fn receiver(statuses: &'static [u16]) -> (String, mpsc::Receiver<(String, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (sender, received) = mpsc::channel();
    std::thread::spawn(move || {
        for status in statuses.iter().chain(std::iter::repeat(&204)) {
            let Ok((mut connection, _)) = listener.accept() else { return };
            let mut text = String::new();
            let mut buffer = [0; 4096];
            let (head, body) = loop {
                let Ok(n @ 1..) = connection.read(&mut buffer) else { break (String::new(), String::new()) };
                text.push_str(&String::from_utf8_lossy(&buffer[..n]));
                let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                let length = head.to_lowercase().lines().find_map(|l| l.strip_prefix("content-length: ")?.parse().ok());
                if body.len() >= length.unwrap_or(0) {
                    break (head.to_owned(), body.to_owned());
                }
            };
            let _ = write!(connection, "HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            let _ = sender.send((head, body));
        }
    });
    (url, received)
}

#[test]
fn webhook_deliveries_are_signed_and_retried() {
    let server = Server::start_with(|config| config.worker.retention.webhooks_private = true);
    let (url, received) = receiver(&[500]);
    let made = server.client.send("POST", "/v1/webhooks", &[], Some(&json!({"url": url})));
    assert_eq!(made.status, 201, "{:#}", made.json());
    let (id, secret) =
        (made.json()["id"].as_str().unwrap().to_owned(), made.json()["secret"].as_str().unwrap().to_owned());
    assert!(server.client.json("/v1/webhooks")["webhooks"][0].get("secret").is_none(), "the secret is shown once");
    let job = server.client.submit(&weight_only());
    server.client.wait(&job);
    let mut seen = Vec::new();
    // Four attempts: the first of the first event fails, and comes again after five seconds.
    while seen.len() < 4 {
        let (head, body) = received.recv_timeout(Duration::from_secs(20)).expect("a delivery");
        let field = |name: &str| {
            head.lines()
                .find_map(|line| line.split_once(": ").filter(|(n, _)| n.eq_ignore_ascii_case(name)))
                .map(|(_, value)| value.to_owned())
                .unwrap_or_default()
        };
        let timestamp = field("webhook-timestamp").parse().unwrap();
        let expected = ptqd::webhook::sign(&secret, &field("webhook-id"), timestamp, &body).unwrap();
        assert_eq!(field("webhook-signature"), expected);
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((&body["type"], &body["data"]["job_id"]), (&json!("job.status_changed"), &json!(job)));
        seen.push((field("webhook-id"), body["data"]["event"]["status"].as_str().unwrap().to_owned()));
    }
    assert_eq!(seen[0], seen[3], "the one that failed comes again under its id");
    let mut statuses: Vec<&str> = seen[..3].iter().map(|(_, status)| status.as_str()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, ["queued", "running", "succeeded"]);
    let path = format!("/v1/webhooks/{id}/deliveries");
    eventually("all are recorded", Duration::from_secs(5), || {
        let log = server.client.json(&path);
        log["deliveries"].as_array().unwrap().iter().all(|delivery| delivery["status"] == "delivered")
    });
    let log = server.client.json(&path);
    let failed = log["deliveries"].as_array().unwrap().iter().find(|d| d["id"] == json!(seen[0].0)).unwrap();
    assert_eq!((&failed["attempts"], &failed["response_status"]), (&json!(2), &json!(204)));
    let again = format!("{path}/{}/redeliver", seen[0].0);
    assert_eq!(server.client.send("POST", &again, &[], None).status, 202);
    assert!(received.recv_timeout(Duration::from_secs(10)).is_ok());
    assert_eq!(server.client.send("DELETE", &format!("/v1/webhooks/{id}"), &[], None).status, 204);
    assert_eq!(server.client.get(&path).0, 404);
}

#[test]
fn webhooks_do_not_reach_inside() {
    let server = Server::start_with(|config| config.workers = 0);
    let long = format!("https://example.com/{}", "x".repeat(2000));
    for url in
        ["http://example.com/", "https://127.0.0.1/", "https://169.254.169.254/", "https://localhost/", "x", &long]
    {
        let refused = server.client.send("POST", "/v1/webhooks", &[], Some(&json!({"url": url})));
        assert_eq!((refused.status, &refused.json()["errors"][0]["pointer"]), (422, &json!("/url")), "{url}");
    }
    let odd = json!({"url": "https://example.com/", "events": ["job.progress", "job.warning"]});
    let refused = server.client.send("POST", "/v1/webhooks", &[], Some(&odd)).json();
    assert_eq!(refused["errors"][0]["pointer"], "/events/0");
    assert!(refused["errors"][0]["allowed"].as_array().unwrap().contains(&json!("job.status_changed")));
}

#[test]
fn the_service_tells_how_it_is() {
    let server = Server::start();
    server.client.wait(&server.client.submit(&weight_only()));
    let ready = server.client.json("/readyz");
    assert_eq!((&ready["ready"], &ready["database"], &ready["disk"]), (&json!(true), &json!("ok"), &json!("ok")));
    let (status, media_type, text) = server.client.get("/metrics");
    assert!(status == 200 && media_type.starts_with("application/openmetrics-text"));
    let text = String::from_utf8(text).unwrap();
    for series in [
        "ptqd_jobs{status=\"succeeded\"} 1",
        "ptqd_queue_depth{state=\"waiting\"} 0",
        "ptqd_queue_oldest_seconds 0",
        "ptqd_attempts_total{outcome=\"succeeded\"",
        "ptqd_phase_seconds_bucket{",
        "ptqd_http_requests_total{method=\"POST\",route=\"/v1/jobs\",status=\"202\"}",
        "ptqd_workers 1",
    ] {
        assert!(text.contains(series), "{series} is not in\n{text}");
    }
    let answer = server.client.send("GET", "/v1/jobs", &[("x-request-id", "mine-1")], None);
    assert_eq!((answer.header("x-request-id"), answer.header("x-content-type-options")), ("mine-1", "nosniff"));
    assert!(answer.header("content-security-policy").contains("default-src 'self'"));
    let odd = server.client.send("GET", "/v1/jobs", &[("x-request-id", "a b")], None);
    assert!(odd.header("x-request-id") != "a b");
    let long = format!("/v1/jobs?name={}", "x".repeat(9000));
    assert_eq!(server.client.send("GET", &long, &[], None).status, 414);
}

#[test]
fn artifacts_and_events_are_kept_as_long_as_they_should_be() {
    let day = 24.0 * 3600.0;
    let server = Server::start_with(|config| {
        config.worker.retention.keep_artifacts_days = Some(1.0 / day);
        config.worker.retention.keep_events_days = Some(1.0 / day);
    });
    let id = server.client.submit(&weight_only());
    let job = server.client.wait(&id);
    let href = job["result"]["artifacts"][0]["href"].as_str().unwrap();
    eventually("it expires", Duration::from_secs(10), || {
        server.client.json(&format!("/v1/jobs/{id}"))["artifacts_expired_at"].is_i64()
    });
    assert_eq!(server.client.get(href).0, 404);
    assert_eq!(server.client.json(&format!("/v1/jobs/{id}/artifacts"))["artifacts"], json!([]));
    let job = server.client.json(&format!("/v1/jobs/{id}"));
    assert_eq!((&job["status"], &job["result"]["summary"]["layers_quantized"]), (&json!("succeeded"), &json!(14)));
    eventually("no file is left", Duration::from_secs(5), || left(&server, &id).is_empty());
    eventually("events are pruned", Duration::from_secs(5), || {
        let events = server.client.json(&format!("/v1/jobs/{id}/events?after=0"));
        events["events"].as_array().unwrap().iter().all(|event| event["type"] == "job.status_changed")
    });
}
