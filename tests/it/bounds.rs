//! What one request may take: bodies, rules, patterns, answers.

use std::{
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::support::{Answer, Client, Server, fixture, uri};

/// A job with so many skips of this pattern.
fn skipping(pattern: &str, count: usize) -> Value {
    json!({"model": {"uri": uri(&fixture("convnet.onnx"))}, "quantize": {"backend": "torchao", "skip_names": vec![pattern; count],
        "layers": [{"module_name": "*", "weights": {"dtype": "int8"}}]}})
}

/// An answer, and how long it took.
fn timed(client: &Client, path: &str, body: &Value) -> (Answer, Duration) {
    let began = Instant::now();
    let answer = client.send("POST", path, &[], Some(body));
    (answer, began.elapsed())
}

fn codes(answer: &Answer) -> Vec<(String, String)> {
    let errors = answer.json()["errors"].as_array().cloned().unwrap_or_default();
    let text = |error: &Value, field: &str| error[field].as_str().unwrap_or_default().to_owned();
    errors.iter().map(|error| (text(error, "pointer"), text(error, "code"))).collect()
}

#[test]
fn a_request_of_thousands_of_regular_expressions_is_refused_at_once() {
    let server = Server::start_with(|config| config.workers = 0);
    for path in ["/v1/jobs", "/v1/plans"] {
        for count in [2000, 700] {
            let body = skipping(r"re:\w{33}", count);
            let tries: Vec<_> = (0..3).map(|_| timed(&server.client, path, &body)).collect();
            for (answer, _) in &tries {
                assert_eq!(answer.status, 422, "{}", answer.json());
                assert_eq!(codes(answer), [("/quantize/skip_names".to_owned(), "out_of_range".to_owned())]);
            }
            // The best of three: other tests share the machine.
            let took = tries.iter().map(|(_, took)| *took).min().unwrap();
            assert!(took < Duration::from_millis(200), "{count} patterns: {took:?}");
        }
    }
}

#[test]
fn others_are_answered_while_regular_expressions_are_compiled() {
    let server = Server::start_with(|config| config.workers = 0);
    let attacks: Vec<_> = (0..8)
        .map(|_| {
            let client = server.client.clone();
            thread::spawn(move || timed(&client, "/v1/jobs", &skipping(r"re:\w{33}", 250)).0)
        })
        .collect();
    let mut waits = Vec::new();
    while attacks.iter().any(|attack| !attack.is_finished()) || waits.len() < 20 {
        let began = Instant::now();
        assert_eq!(server.client.get("/healthz").0, 200);
        waits.push(began.elapsed());
    }
    for attack in attacks {
        let answer = attack.join().unwrap();
        assert_eq!(answer.status, 422);
        let codes = codes(&answer);
        assert!(codes.len() > 100 && codes.iter().all(|(_, code)| code == "out_of_range"), "{codes:?}");
    }
    waits.sort();
    let p99 = waits[waits.len() * 99 / 100];
    assert!(p99 < Duration::from_millis(300), "{p99:?} of {}", waits.len());
}

#[test]
fn a_body_is_at_most_64_kib_and_patches_do_not_add_up_to_more() {
    let server = Server::start_with(|config| config.workers = 0);
    let with = |labels: usize| {
        let labels: serde_json::Map<_, _> = (0..labels).map(|n| (format!("{n}"), json!("x".repeat(500)))).collect();
        let mut job = skipping("fc", 1);
        job["labels"] = labels.into();
        job["quantize"]["backend_kwargs"] = json!({"encoder": "x".repeat(34 << 10)});
        job
    };
    let (answer, _) = timed(&server.client, "/v1/jobs", &with(64));
    assert_eq!((answer.status, answer.json()["code"].as_str()), (413, Some("body_too_large")));
    let (answer, _) = timed(&server.client, "/v1/plans", &with(64));
    assert_eq!(answer.status, 413);
    assert_eq!(timed(&server.client, "/v1/jobs", &with(10)).0.status, 422, "one that is read, and then refused");

    let mut job = skipping("fc", 1);
    job["labels"] = (0..64).map(|n| (format!("{n}"), json!("x".repeat(500)))).collect::<serde_json::Map<_, _>>().into();
    let id = server.client.submit(&job);
    assert_eq!(server.client.send("POST", &format!("/v1/jobs/{id}/cancel"), &[], None).status, 200);
    let more = json!({"quantize": {"model_path": "x".repeat(34 << 10)}});
    let answer = server.client.send("POST", &format!("/v1/jobs/{id}/retry"), &[], Some(&more));
    assert_eq!((answer.status, answer.json()["code"].as_str()), (413, Some("body_too_large")));
    assert_eq!(server.client.send("POST", &format!("/v1/jobs/{id}/retry"), &[], Some(&json!(null))).status, 202);
}

#[test]
fn lists_have_no_requests_and_a_job_has_its_own() {
    let server = Server::start_with(|config| config.workers = 0);
    let id = server.client.submit(&skipping("fc", 1));
    let listed = &server.client.json("/v1/jobs")["jobs"][0];
    assert_eq!((listed["id"].as_str(), listed.get("config")), (Some(&*id), None));
    assert_eq!(listed["effective_config"]["backend"], "torchao");
    assert_eq!(server.client.json(&format!("/v1/jobs/{id}"))["config"]["quantize"]["skip_names"], json!(["fc"]));
}
