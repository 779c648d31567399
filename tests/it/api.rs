//! The API as clients see it: problems, pages, streams, documents.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    time::Duration,
};

use serde_json::{Value, json};

use crate::support::{Client, Server, fixture, uri};

fn weight_only() -> Value {
    json!({"model": {"uri": uri(&fixture("vit.safetensors"))}, "labels": {"team": "x"}, "name": "vit",
        "quantize": {"backend": "torchao", "layers": [{"module_name": "Linear", "weights": {"dtype": "int8"}}]}})
}

fn problem(answer: (u16, Value), status: u16, code: &str) -> Value {
    let (found, body) = answer;
    assert_eq!((found, &body["code"]), (status, &json!(code)), "{body:#}");
    assert_eq!(
        (&body["status"], body["type"].as_str().unwrap()),
        (&json!(status), &*format!("urn:ptqd:problem:{code}"))
    );
    assert!(!body["request_id"].as_str().unwrap().is_empty() && !body["instance"].as_str().unwrap().is_empty());
    body
}

#[test]
fn every_error_is_a_problem_document() {
    let server = Server::start_with(|config| config.workers = 0);
    let client = &server.client;
    let json_type = "application/json";
    problem(client.post("/v1/jobs", "text/plain", b"{}"), 415, "unsupported_media_type");
    problem(client.post("/v1/jobs", json_type, b"{"), 400, "malformed_request");
    let missing = problem(client.post("/v1/jobs", json_type, b"{}"), 422, "invalid_job");
    let places: Vec<_> = missing["errors"].as_array().unwrap().iter().map(|e| (&e["pointer"], &e["code"])).collect();
    assert_eq!(json!(places), json!([["/quantize", "missing"], ["/model", "missing"]]));
    for no_object in [&b"[]"[..], b"null", b"7"] {
        let wrong = problem(client.post("/v1/jobs", json_type, no_object), 422, "invalid_job");
        assert_eq!((&wrong["errors"][0]["pointer"], &wrong["errors"][0]["code"]), (&json!(""), &json!("wrong_type")));
    }
    let typed = json!({"model": {"uri": 7}, "quantize": {}}).to_string();
    let typed = problem(client.post("/v1/jobs", json_type, typed.as_bytes()), 422, "invalid_job");
    let places: Vec<_> = typed["errors"].as_array().unwrap().iter().map(|e| &e["pointer"]).collect();
    assert_eq!(json!(places), json!(["/quantize/layers", "/model/uri"]), "the rules' objections come with it");
    problem(announce(client, 2 << 20), 413, "body_too_large");
    problem(client.post("/healthz", json_type, b"{}"), 405, "method_not_allowed");
    for (path, status, code) in [
        ("/nowhere", 404, "not_found"),
        ("/v1/jobs/qj_00000000000000000000000000000000", 404, "not_found"),
        ("/v1/jobs/..%2f..%2fetc", 404, "not_found"),
        ("/v1/jobs/x/report", 404, "not_found"),
        ("/v1/jobs/%ff", 404, "not_found"),
        ("/v1/jobs/%ff/report", 404, "not_found"),
        ("/v1/backends/%ff", 404, "not_found"),
        ("/v1/jobs?limit=0", 400, "malformed_request"),
        ("/v1/jobs?limit=x", 400, "malformed_request"),
        ("/v1/jobs?cursor=x", 400, "malformed_request"),
        ("/v1/jobs?status=odd", 400, "malformed_request"),
    ] {
        let (found, media_type, body) = client.get(path);
        assert_eq!(media_type, "application/problem+json", "{path}");
        problem((found, serde_json::from_slice(&body).unwrap()), status, code);
    }
    let invalid = json!({"model": {"uri": "ftp://x/y"}, "calibration": {"uri": "c.npz"},
        "quantize": {"backend": "torchao", "mode": "static_ptq",
            "layers": [{"module_name": "*", "weights": {"dtype": "int9"}}]}});
    let invalid = problem(client.post("/v1/jobs", json_type, invalid.to_string().as_bytes()), 422, "invalid_job");
    let pointers: Vec<_> =
        invalid["errors"].as_array().unwrap().iter().map(|e| e["pointer"].as_str().unwrap()).collect();
    assert_eq!(
        pointers,
        ["/quantize/layers/0/weights/dtype", "/quantize/mode", "/calibration", "/model/uri", "/calibration/uri"]
    );

    let id = client.submit(&weight_only());
    for what in ["plan", "report", "artifacts/model.safetensors"] {
        let (status, _, body) = client.get(&format!("/v1/jobs/{id}/{what}"));
        problem((status, serde_json::from_slice(&body).unwrap()), 409, "not_ready");
    }
    assert_eq!(client.json("/healthz")["status"], "ok");
}

/// The answer to a body that is announced and not sent: the server does not wait for what it will not read.
fn announce(client: &Client, length: usize) -> (u16, Value) {
    let address = client.url.trim_start_matches("http://");
    let mut connection = TcpStream::connect(address).unwrap();
    let head = format!(
        "POST /v1/jobs HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n"
    );
    connection.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    connection.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), serde_json::from_str(body).unwrap())
}

#[test]
fn a_job_can_be_followed_from_submission_to_its_files() {
    let server = Server::start();
    let client = &server.client;
    let id = client.submit(&weight_only());
    let events = stream(client, &id, 0);
    let statuses: Vec<&str> = events
        .iter()
        .filter(|event| event["type"] == "job.status_changed")
        .map(|event| event["data"]["status"].as_str().unwrap())
        .collect();
    assert_eq!(statuses, ["queued", "running", "succeeded"]);
    let seqs: Vec<i64> = events.iter().map(|event| event["seq"].as_i64().unwrap()).collect();
    assert_eq!(seqs, (1..=seqs.len() as i64).collect::<Vec<_>>());
    // A stream resumed after the third event tells the rest, and so does a page.
    assert_eq!(stream(client, &id, 3), events[3..]);
    assert_eq!(stream(client, &id, seqs.len() as i64), Vec::<Value>::new());
    let page = client.json(&format!("/v1/jobs/{id}/events?after=3"));
    assert_eq!(page["events"].as_array().unwrap()[..], events[3..]);
    assert_eq!(page["next_after"], json!(seqs.len()));

    let job = client.json(&format!("/v1/jobs/{id}"));
    assert_eq!((&job["status"], &job["phase"]), (&json!("succeeded"), &json!("publishing")));
    assert_eq!((&job["name"], &job["labels"]["team"]), (&json!("vit"), &json!("x")));
    assert_eq!(job["effective_config"]["mode"], "weight_only_ptq");
    let plan = client.json(&format!("/v1/jobs/{id}/plan"));
    assert_eq!(plan["plan"]["patterns"][0]["matches"], 14);
    let position = plan["plan"]["layers"].as_array().unwrap().iter().find(|l| l["name"] == "position").unwrap();
    assert_eq!((&position["decision"], &position["reason"]), (&json!("native"), &json!("op_unsupported")));
    assert_eq!(client.json(&format!("/v1/jobs/{id}/report"))["summary"]["layers_quantized"], 14);
    let listed = client.json(&format!("/v1/jobs/{id}/artifacts"));
    assert_eq!(listed["artifacts"], job["result"]["artifacts"]);
    let names: Vec<&str> =
        listed["artifacts"].as_array().unwrap().iter().map(|a| a["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["model.safetensors", "plan.json", "report.json", "manifest.json"]);
    assert_eq!(client.get(&format!("/v1/jobs/{id}/artifacts/other")).0, 404);
}

/// The events of a stream that resumes after `last`, once it has ended.
fn stream(client: &Client, id: &str, last: i64) -> Vec<Value> {
    let request = ureq::get(format!("{}/v1/jobs/{id}/events", client.url)).header("accept", "text/event-stream");
    let response = request.header("last-event-id", last.to_string()).call().unwrap();
    let lines = BufReader::new(response.into_body().into_reader()).lines();
    let data = lines.filter_map(|line| line.unwrap().strip_prefix("data:").map(|t| serde_json::from_str(t).unwrap()));
    data.collect()
}

#[test]
fn pages_cover_all_jobs() {
    let server = Server::start_with(|config| config.workers = 0);
    let unnamed = || {
        let mut job = weight_only();
        job.as_object_mut().unwrap().remove("name");
        job
    };
    let ids: Vec<String> = (0..5).map(|_| server.client.submit(&unnamed())).collect();
    let (mut seen, mut query) = (Vec::new(), "?limit=2".to_owned());
    loop {
        let page = server.client.json(&format!("/v1/jobs{query}"));
        seen.extend(page["jobs"].as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap().to_owned()));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        query = format!("?limit=2&status=queued&cursor={cursor}");
    }
    seen.reverse();
    assert_eq!(seen, ids);
    assert_eq!(server.client.json("/v1/jobs?status=running")["jobs"], json!([]));
}

#[test]
fn the_documentation_is_served_with_everything_it_needs() {
    let server = Server::start_with(|config| config.workers = 0);
    let openapi = server.client.json("/openapi.json");
    assert_eq!(openapi["openapi"], "3.1.0");
    let (status, media_type, page) = server.client.get("/docs/");
    assert_eq!((status, media_type.split(';').next()), (200, Some("text/html")));
    let page = String::from_utf8(page).unwrap();
    for asset in page.split(['"', '\'']).filter(|text| text.ends_with(".js") || text.ends_with(".css")) {
        let name = asset.trim_start_matches("./");
        assert!(!name.contains("://"), "{asset} comes from elsewhere");
        assert_eq!(server.client.get(&format!("/docs/{name}")).0, 200, "{asset}");
    }
}

#[test]
fn texts_are_compressed_and_origins_that_are_named_may_read_them() {
    let server = Server::start_with(|config| {
        config.workers = 0;
        config.http.cors_origins = vec!["https://app.example.com".to_owned()];
    });
    let ask = |headers: &[(&str, &str)]| server.client.send("GET", "/openapi.json", headers, None);
    let plain = ask(&[("accept-encoding", "identity")]);
    let packed = ask(&[("accept-encoding", "gzip"), ("origin", "https://app.example.com")]);
    assert_eq!(plain.header("content-encoding"), "");
    assert_eq!(packed.header("content-encoding"), "gzip");
    assert!(packed.header("vary").contains("accept-encoding"), "{}", packed.header("vary"));
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(&*packed.body).read_to_end(&mut unpacked).unwrap();
    assert!(unpacked == plain.body && packed.body.len() < plain.body.len() / 4);
    assert_eq!(packed.header("access-control-allow-origin"), "https://app.example.com");
    assert_eq!(ask(&[("origin", "https://evil.example.com")]).header("access-control-allow-origin"), "");
}
