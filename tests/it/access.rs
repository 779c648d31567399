//! API keys, scopes and tenants, on a server that needs them; tokens of an OpenID provider.

use std::{path::Path, process::Command};

use serde_json::{Value, json};

use crate::support::{Client, Process, fixture, key, program, schema, start_server, uri};

fn weight_only() -> Value {
    json!({"model": {"uri": uri(&fixture("vit.safetensors"))}, "name": "vit",
        "quantize": {"backend": "torchao", "layers": [{"module_name": "Linear", "weights": {"dtype": "int8"}}]}})
}

fn start(url: &str, data: &Path, arguments: &[&str]) -> Process {
    let mut program = program("serve", data, Some(url));
    program.args(["--listen", "127.0.0.1:0", "--workers", "0"]).args(arguments);
    start_server(program)
}

#[test]
fn a_shared_database_needs_keys() {
    let folder = tempfile::tempdir().unwrap();
    let url = schema("access");
    let server = start(&url, folder.path(), &["--log", "trace", "--log-format", "json", "--webhooks-private"]);
    let nobody = &server.client;
    let refused = nobody.send("GET", "/v1/jobs", &[], None);
    assert_eq!((refused.status, &refused.json()["code"]), (401, &json!("unauthorized")));
    assert!(refused.header("www-authenticate").starts_with("Bearer"));
    for open in ["/healthz", "/readyz", "/openapi.json", "/docs/", "/"] {
        assert_eq!(nobody.get(open).0, 200, "{open}");
    }
    let made = key(&url, folder.path(), "vision", "jobs:write");
    let wrong = format!("{}{}", &made[..made.len() - 4], "0000");
    for bad in ["", "x", "ptqd_x_y", &wrong] {
        assert_eq!(nobody.with_key(bad).get("/v1/jobs").0, 401, "{bad}");
    }
    let vision = nobody.with_key(&made);
    let id = vision.submit(&weight_only());
    assert_eq!(vision.get(&format!("/v1/jobs/{id}")).0, 200);
    assert_eq!((vision.get("/metrics").0, vision.get("/v1/keys").0), (403, 403));

    // Another tenant's job is not there, whatever is asked of it; its name is free.
    let speech = nobody.with_key(&key(&url, folder.path(), "speech", "jobs:write"));
    for path in ["", "/plan", "/report", "/artifacts", "/artifacts/model.safetensors", "/events?after=0"] {
        assert_eq!(speech.get(&format!("/v1/jobs/{id}{path}")).0, 404, "{path}");
    }
    for (method, path) in [("POST", "/cancel"), ("POST", "/retry"), ("DELETE", "")] {
        assert_eq!(speech.send(method, &format!("/v1/jobs/{id}{path}"), &[], None).status, 404, "{path}");
    }
    assert_eq!(speech.json("/v1/jobs")["jobs"], json!([]));
    speech.submit(&weight_only());

    let reader = nobody.with_key(&key(&url, folder.path(), "vision", "jobs:read"));
    assert_eq!(reader.get(&format!("/v1/jobs/{id}")).0, 200);
    let denied = reader.send("POST", &format!("/v1/jobs/{id}/cancel"), &[], None);
    assert_eq!((denied.status, &denied.json()["code"]), (403, &json!("forbidden")));
    for path in ["/v1/jobs", "/v1/plans"] {
        assert_eq!(reader.send("POST", path, &[], Some(&weight_only())).status, 403, "{path}");
    }

    let admin = nobody.with_key(&key(&url, folder.path(), "vision", "admin"));
    assert_eq!(admin.get("/metrics").0, 403, "figures of all tenants are no tenant's");
    let operator = nobody.with_key(&key(&url, folder.path(), "operations", "operator"));
    assert_eq!(operator.get("/metrics").0, 200);
    let more = json!({"name": "more", "scopes": ["operator"]});
    assert_eq!(admin.send("POST", "/v1/keys", &[], Some(&more)).status, 422);
    let body = json!({"name": "made over HTTP", "scopes": ["jobs:read"], "expires_in_days": 1});
    let fresh = admin.send("POST", "/v1/keys", &[], Some(&body));
    assert_eq!(fresh.status, 201, "{:#}", fresh.json());
    let secret = fresh.json()["key"].as_str().unwrap().to_owned();
    assert_eq!(nobody.with_key(&secret).get("/v1/jobs").0, 200);
    let listed = admin.json("/v1/keys");
    assert_eq!(listed["keys"].as_array().unwrap().len(), 4, "its own tenant's");
    assert!(!listed.to_string().contains(secret.rsplit('_').next().unwrap()), "secrets are not shown again");
    let path = format!("/v1/keys/{}", fresh.json()["id"].as_str().unwrap());
    assert_eq!(admin.send("DELETE", &path, &[], None).status, 204);
    assert_eq!(nobody.with_key(&secret).get("/v1/jobs").0, 401);
    // Nothing that opens anything is in the log, not even in the most talkative one.
    let hook = admin.send("POST", "/v1/webhooks", &[], Some(&json!({"url": "http://127.0.0.1:9/"}))).json();
    let log = server.log.lock().unwrap().clone();
    let lines = log.lines().filter(|line| line.contains("\"request_id\""));
    assert!(lines.clone().count() > 10, "{log}");
    lines.for_each(|line| assert!(serde_json::from_str::<Value>(line).is_ok(), "{line}"));
    let tail = |key: &str| key.rsplit('_').next().unwrap().to_owned();
    for secret in [tail(&made), tail(&secret), tail(hook["secret"].as_str().unwrap())] {
        assert!(!log.contains(&secret), "a secret is in the log");
    }
    let odd = admin.send("POST", "/v1/keys", &[], Some(&json!({"name": "", "scopes": ["root"], "expires_in_days": 0})));
    assert_eq!((odd.status, odd.json()["errors"].as_array().unwrap().len()), (422, 3));
}

#[test]
fn rate_limits_are_per_caller_and_in_the_headers() {
    let folder = tempfile::tempdir().unwrap();
    let url = schema("limits");
    let server = start(&url, folder.path(), &["--rate-limit", "2"]);
    let client = server.client.with_key(&key(&url, folder.path(), "a", "jobs:read"));
    let answers: Vec<_> = (0..8).map(|_| client.send("GET", "/v1/backends", &[], None)).collect();
    assert_eq!(answers[0].status, 200);
    assert!(
        answers[0].header("ratelimit").starts_with("\"default\";r=")
            && !answers[0].header("ratelimit-policy").is_empty()
    );
    let over = answers.iter().find(|answer| answer.status == 429).expect("a limit");
    assert_eq!((&over.json()["code"], over.header("retry-after")), (&json!("rate_limited"), "1"));
    let other = server.client.with_key(&key(&url, folder.path(), "b", "jobs:read"));
    assert_eq!(other.get("/v1/backends").0, 200, "another's limit is another's");
}

/// Keys, tokens and the provider are made by tests/tools/oidc.py, with Python's cryptography package.
#[test]
fn tokens_of_a_provider_are_accepted() {
    use std::io::{BufRead, BufReader};
    let python = crate::support::needed("PTQD_TEST_PYTHON");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tools/oidc.py");
    let mut provider =
        Command::new(python).arg(script).stdout(std::process::Stdio::piped()).spawn().expect("Python starts");
    let mut line = String::new();
    BufReader::new(provider.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let told: Value = serde_json::from_str(&line).expect("what the provider made");
    let (folder, url) = (tempfile::tempdir().unwrap(), schema("oidc"));
    let issuer = told["issuer"].as_str().unwrap();
    let server = start(&url, folder.path(), &["--oidc-issuer", issuer, "--oidc-audience", "ptqd"]);
    let status = |token: &Value| {
        let client: Client = server.client.with_key(token.as_str().unwrap());
        client.get("/v1/jobs").0
    };
    for (name, token) in told["good"].as_object().unwrap() {
        assert_eq!(status(token), 200, "{name}");
    }
    for (name, token) in told["bad"].as_object().unwrap() {
        let expected = if name == "without_scope" { 403 } else { 401 };
        assert_eq!(status(token), expected, "{name}");
    }
    let id = server.client.with_key(told["good"]["rs256"].as_str().unwrap()).submit(&weight_only());
    let other = server.client.with_key(told["good"]["other_tenant"].as_str().unwrap());
    assert_eq!(other.get(&format!("/v1/jobs/{id}")).0, 404);
    let _ = provider.kill();
    let _ = provider.wait();
}
