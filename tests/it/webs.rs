//! Inputs from web servers and a model hub, and uploads; and everything that is turned away.

use std::{
    fs,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Json, Router,
    body::Body,
    extract::{Path as Route, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
    routing::{any, get},
};
use ptqd::digest::sha256_hex;
use serde_json::{Value, json};

use crate::support::{
    Client, Server, data, eventually, fixture, in_shards, lasting, local_job, program, run_local, serve, serve_router,
    uri,
};

fn int8(model: &str) -> Value {
    json!({"model": {"uri": model}, "quantize": {"layers": [{"module_name": "*", "weights": {"dtype": "int8"}}]}})
}

/// A server that takes inputs from this machine.
fn server() -> Server {
    Server::start_with(|config| config.worker.storage.sources_private = true)
}

/// A file as most servers give it: whole or a part, with a tag.
fn file(bytes: &[u8], tag: &str, headers: &HeaderMap) -> Response {
    let text = |name| headers.get(name).and_then(|value: &header::HeaderValue| value.to_str().ok());
    if text(header::IF_MATCH).is_some_and(|wanted| wanted != tag) {
        return StatusCode::PRECONDITION_FAILED.into_response();
    }
    let tagged = (header::ETAG, tag.to_owned());
    let Some(range) = text(header::RANGE).and_then(|range| range.strip_prefix("bytes=")) else {
        return ([tagged], bytes.to_vec()).into_response();
    };
    let (first, last) = range.split_once('-').unwrap();
    let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
    if first >= bytes.len() {
        let none = (header::CONTENT_RANGE, format!("bytes */{}", bytes.len()));
        return (StatusCode::RANGE_NOT_SATISFIABLE, [none]).into_response();
    }
    let last = last.min(bytes.len() - 1);
    let told = (header::CONTENT_RANGE, format!("bytes {first}-{last}/{}", bytes.len()));
    (StatusCode::PARTIAL_CONTENT, [tagged, told], bytes[first..=last].to_vec()).into_response()
}

fn folder_of(root: &Path) -> Router {
    let read = |State(root): State<Arc<Path>>, Route(name): Route<String>, headers: HeaderMap| async move {
        match fs::read(root.join(name)) {
            Ok(bytes) => file(&bytes, &format!("\"{}\"", &sha256_hex(&bytes)[..8]), &headers),
            Err(_) => StatusCode::NOT_FOUND.into_response(),
        }
    };
    Router::new().route("/files/{*name}", get(read)).with_state(root.into())
}

#[test]
fn models_come_from_web_servers_of_every_kind() {
    let folder = tempfile::tempdir().unwrap();
    // Shards of 20 MB: several parts.
    let checkpoint = in_shards(folder.path(), 3, 2560);
    let vit = fs::read(fixture("vit.safetensors")).unwrap();
    let whole = |bytes: Vec<u8>| move || async move { bytes };
    let chunked = vit.clone();
    let router = folder_of(folder.path())
        .route("/plain/vit.safetensors", get(whole(vit.clone())))
        // No length either.
        .route(
            "/stream/vit.safetensors",
            get(move || async move {
                let parts: Vec<_> = chunked.chunks(10_000).map(|c| Ok::<_, std::io::Error>(c.to_vec())).collect();
                Body::from_stream(futures_util::stream::iter(parts))
            }),
        )
        .route(
            "/moved/{*name}",
            get(|Route(name): Route<String>| async move { Redirect::temporary(&format!("/plain/{name}")) }),
        )
        .route("/loop/x.onnx", get(|| async { Redirect::temporary("/loop/x.onnx") }))
        .route("/secret/x.onnx", get(|| async { StatusCode::UNAUTHORIZED }))
        .route("/broken/x.onnx", get(|| async { StatusCode::BAD_GATEWAY }));
    let url = serve_router(router);
    let server = server();
    let client = &server.client;
    let out = |name: &str| folder.path().join(name);
    client.run(&int8(&uri(&checkpoint.join("model.safetensors.index.json"))), &out("here"));
    let remote = client.run(&int8(&format!("{url}/files/model/model.safetensors.index.json")), &out("there"));
    assert!(lasting(&out("here")) == lasting(&out("there")));
    let manifest = client.json(&format!("/v1/jobs/{}/artifacts/manifest.json", remote["id"].as_str().unwrap()));
    assert_eq!(manifest["origins"]["model"], format!("{url}/files/model/model.safetensors.index.json"));
    client.run(&int8(&uri(&fixture("vit.safetensors"))), &out("vit"));
    for (n, kind) in ["plain", "stream", "moved"].into_iter().enumerate() {
        client.run(&int8(&format!("{url}/{kind}/vit.safetensors")), &out(&format!("vit{n}")));
        assert!(lasting(&out("vit")) == lasting(&out(&format!("vit{n}"))), "{kind}");
    }
    for (wrong, code) in [
        ("files/no.onnx", "input_not_found"),
        ("secret/x.onnx", "input_denied"),
        ("loop/x.onnx", "input_unreachable"),
        ("broken/x.onnx", "input_unreachable"),
    ] {
        let mut job = int8(&format!("{url}/{wrong}"));
        job["max_attempts"] = json!(1);
        let failed = client.wait(&client.submit(&job));
        assert_eq!(failed["error"]["code"], code, "{wrong}: {:#}", failed["error"]);
    }
}

#[test]
fn a_file_that_changes_on_the_way_is_not_mixed() {
    let bytes = [fs::read(fixture("vit.safetensors")).unwrap(), vec![0; 40 << 20]].concat();
    let asked = Arc::new(AtomicUsize::new(0));
    let change = move |headers: HeaderMap| {
        let (asked, bytes) = (Arc::clone(&asked), bytes.clone());
        async move {
            let version = asked.fetch_add(1, Ordering::Relaxed).min(4);
            file(&bytes, &format!("\"{}\"", version / 4), &headers)
        }
    };
    let url = serve_router(Router::new().route("/x.onnx", get(change)));
    let server = server();
    let mut job = int8(&format!("{url}/x.onnx"));
    job["max_attempts"] = json!(1);
    let failed = server.client.wait(&server.client.submit(&job));
    assert_eq!((&failed["error"]["code"], &failed["error"]["retryable"]), (&json!("input_changed"), &json!(true)));
}

#[test]
fn a_download_that_was_killed_goes_on_where_it_ended() {
    let folder = tempfile::tempdir().unwrap();
    // 48 MB in one file: six parts.
    let model = in_shards(folder.path(), 1, 6144).join("model-00001-of-00001.safetensors");
    let bytes = Arc::new(fs::read(&model).unwrap());
    let starts = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&starts);
    let slow = move |headers: HeaderMap| {
        let (bytes, told) = (Arc::clone(&bytes), Arc::clone(&told));
        async move {
            let range = headers.get(header::RANGE).unwrap().to_str().unwrap().to_owned();
            let start: usize = range.trim_start_matches("bytes=").split('-').next().unwrap().parse().unwrap();
            if range != "bytes=0-0" {
                told.lock().unwrap().push(start);
                // Later parts are later, so that there is a time between them.
                tokio::time::sleep(std::time::Duration::from_millis(start as u64 / 20_000)).await;
            }
            file(&bytes, "\"v1\"", &headers)
        }
    };
    let url = serve_router(Router::new().route("/m.safetensors", get(slow)));
    let data = folder.path().join("data");
    let start = || {
        let mut program = program("serve", &data, None);
        program.arg("--sources-private");
        serve(program)
    };
    let mut server = start();
    let id = server.client.submit(&int8(&format!("{url}/m.safetensors")));
    // The partial file has some parts, and not all.
    let partial = || {
        let inputs = fs::read_dir(data.join("scratch").join(&id).join("arriving")).into_iter().flatten().flatten();
        inputs.map(|entry| entry.metadata().map_or(0, |m| m.len())).max().unwrap_or(0)
    };
    eventually("two parts are here", std::time::Duration::from_secs(30), || partial() >= 16 << 20);
    server.child.kill().unwrap();
    server.child.wait().unwrap();
    assert!(partial() < 48 << 20, "the kill came too late");
    starts.lock().unwrap().clear();
    let server = start();
    let job = server.client.wait(&id);
    assert_eq!((&job["status"], &job["attempt"]), (&json!("succeeded"), &json!(1)), "{:#}", job["error"]);
    let first = starts.lock().unwrap().iter().min().copied().unwrap();
    assert!(first >= 16 << 20, "it began again at {first}");
    let sha256 = &server.client.json(&format!("/v1/jobs/{id}/artifacts/manifest.json"))["inputs"]["model"][0]["sha256"];
    assert_eq!(sha256, &json!(sha256_hex(&fs::read(&model).unwrap())));
}

/// A hub with one repository of models, one of data, and one that wants a token; its large files are elsewhere.
fn hub(root: &Path) -> String {
    const SHA: &str = "0123456789abcdef0123456789abcdef01234567";
    let listed = |root: &Path, repository: &str| {
        let folder = root.join(repository);
        let names = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let one = |name: String| {
            let bytes = fs::read(folder.join(&name)).unwrap();
            let lfs =
                name.ends_with(".safetensors").then(|| json!({"sha256": sha256_hex(&bytes), "size": bytes.len()}));
            json!({"rfilename": name, "size": bytes.len(), "lfs": lfs})
        };
        json!({"sha": SHA, "siblings": names.map(one).collect::<Vec<_>>()})
    };
    let denied = |headers: &HeaderMap, repository: &str| {
        repository.contains("gated") && headers.get(header::AUTHORIZATION).is_none_or(|token| token != "Bearer hf_x")
    };
    let (listing, serving) = (root.to_owned(), root.to_owned());
    // Tokens are for the hub alone.
    let cdn = folder_of(root).layer(axum::middleware::map_request(|request: axum::extract::Request| async {
        assert!(request.headers().get(header::AUTHORIZATION).is_none(), "the token went elsewhere");
        request
    }));
    let cdn = serve_router(cdn);
    let describe = move |Route((kind, owner, name, revision)): Route<(String, String, String, String)>,
                         headers: HeaderMap| async move {
        let repository = format!("{kind}/{owner}/{name}");
        if denied(&headers, &repository) {
            return StatusCode::UNAUTHORIZED.into_response();
        }
        if !["main", "v1.0", "refs/pr/1", SHA].contains(&&*revision) || !listing.join(&repository).is_dir() {
            return StatusCode::NOT_FOUND.into_response();
        }
        Json(listed(&listing, &repository)).into_response()
    };
    let resolve = move |kind: &'static str, repository: String, path: String, headers: HeaderMap| async move {
        let repository = format!("{kind}/{repository}");
        if denied(&headers, &repository) {
            return StatusCode::UNAUTHORIZED.into_response();
        }
        if path.ends_with(".safetensors") {
            return Redirect::temporary(&format!("{cdn}/files/{repository}/{path}")).into_response();
        }
        match fs::read(serving.join(repository).join(path)) {
            // Small files come whole, whatever part is asked for.
            Ok(bytes) => bytes.into_response(),
            Err(_) => StatusCode::NOT_FOUND.into_response(),
        }
    };
    let (models, datasets) = (resolve.clone(), resolve);
    let model = format!("/{{owner}}/{{name}}/resolve/{SHA}/{{*path}}");
    let dataset = format!("/datasets/{{owner}}/{{name}}/resolve/{SHA}/{{*path}}");
    type Parts = Route<(String, String, String)>;
    serve_router(
        Router::new()
            .route("/api/{kind}/{owner}/{name}/revision/{revision}", get(describe))
            .route(
                &dataset,
                get(move |Route((owner, name, path)): Parts, headers: HeaderMap| {
                    datasets("datasets", format!("{owner}/{name}"), path, headers)
                }),
            )
            .route(
                &model,
                get(move |Route((owner, name, path)): Parts, headers: HeaderMap| {
                    models("models", format!("{owner}/{name}"), path, headers)
                }),
            ),
    )
}

#[test]
fn a_hub_is_read_at_one_commit() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("hub");
    for repository in ["models/owner", "models/gated", "datasets/owner"] {
        fs::create_dir_all(root.join(repository)).unwrap();
    }
    let checkpoint = in_shards(folder.path(), 2, 2560);
    // Another form of the same weights, which nobody downloads.
    fs::write(checkpoint.join("pytorch_model.bin"), "x").unwrap();
    for name in ["owner/llama", "gated/llama"] {
        fs::create_dir(root.join("models").join(name)).unwrap();
        for entry in fs::read_dir(&checkpoint).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), root.join("models").join(name).join(entry.file_name())).unwrap();
        }
    }
    fs::create_dir(root.join("models/owner/net")).unwrap();
    fs::copy(fixture("convnet.onnx"), root.join("models/owner/net/model.onnx")).unwrap();
    fs::create_dir(root.join("datasets/owner/calib")).unwrap();
    fs::copy(fixture("calibration.npz"), root.join("datasets/owner/calib/c.npz")).unwrap();
    let url = hub(&root);
    let with_token = |token: &str| {
        let mut program = program("serve", &folder.path().join(format!("data{token}")), None);
        program.env("HF_ENDPOINT", &url).env("HF_TOKEN", token);
        serve(program)
    };
    let server = with_token("");
    let client = &server.client;
    client.run(&int8(&uri(&checkpoint)), &folder.path().join("here"));
    const PINNED: &str = "0123456789abcdef0123456789abcdef01234567";
    for (n, revision) in ["", "@v1.0", "@refs%2Fpr%2F1", &format!("@{PINNED}")].into_iter().enumerate() {
        let out = folder.path().join(format!("there{n}"));
        let job = client.run(&int8(&format!("hf://owner/llama{revision}")), &out);
        assert!(lasting(&folder.path().join("here")) == lasting(&out), "{revision}");
        let manifest = client.json(&format!("/v1/jobs/{}/artifacts/manifest.json", job["id"].as_str().unwrap()));
        assert_eq!(manifest["origins"]["model"], format!("hf://owner/llama@{PINNED}"));
        let warned = job["warnings"].as_array().unwrap().iter().any(|w| w["code"] == "weights_not_copied");
        assert!(warned, "{:#}", job["warnings"]);
    }
    // A plan needs headers alone; a graph and its data by path.
    let (status, plan) = client.post("/v1/plans", "application/json", int8("hf://owner/llama").to_string().as_bytes());
    assert_eq!((status, &plan["shards"]), (200, &json!(2)), "{plan:#}");
    let job = json!({
        "model": {"uri": "hf://owner/net/model.onnx"},
        "calibration": {"uri": "hf://datasets/owner/calib/c.npz"},
        "quantize": {"backend": "modelopt", "mode": "static_ptq", "layers": [
            {"module_name": "*", "weights": {"dtype": "int8"}, "activations": {"dtype": "int8"}}]}
    });
    let done = client.wait(&client.submit(&job));
    assert_eq!(done["status"], "succeeded", "{:#}", done["error"]);
    for (wrong, code) in [
        ("hf://owner/no", "input_not_found"),
        ("hf://owner/llama@v2", "input_not_found"),
        ("hf://owner/llama/no.safetensors", "input_not_found"),
        ("hf://gated/llama", "input_denied"),
    ] {
        let mut job = int8(wrong);
        job["max_attempts"] = json!(1);
        let failed = client.wait(&client.submit(&job));
        assert_eq!(failed["error"]["code"], code, "{wrong}: {:#}", failed["error"]);
    }
    let server = with_token("hf_x");
    let job = server.client.wait(&server.client.submit(&int8("hf://gated/llama")));
    assert_eq!(job["status"], "succeeded", "{:#}", job["error"]);
    assert!(!job.to_string().contains("hf_x"));
    // What arrives is compared with the digest that the hub promised.
    let shard = root.join("models/owner/llama/model-00001-of-00002.safetensors");
    let url = {
        let described = Client::new(url.clone()).json("/api/models/owner/llama/revision/main?blobs=true");
        let mut bytes = fs::read(&shard).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        let liar = Router::new().route("/api/{*rest}", get(move || async move { Json(described) })).fallback(any(
            move |request: axum::extract::Request| {
                let (bytes, root) = (bytes.clone(), root.clone());
                async move {
                    let name = request.uri().path().rsplit('/').next().unwrap().to_owned();
                    match name.starts_with("model-00001") {
                        true => file(&bytes, "\"x\"", request.headers()),
                        false => file(
                            &fs::read(root.join("models/owner/llama").join(name)).unwrap(),
                            "\"x\"",
                            request.headers(),
                        ),
                    }
                }
            },
        ));
        serve_router(liar)
    };
    let mut program = program("serve", &folder.path().join("liar"), None);
    program.env("HF_ENDPOINT", &url);
    let server = serve(program);
    let mut job = int8("hf://owner/llama");
    job["max_attempts"] = json!(1);
    let failed = server.client.wait(&server.client.submit(&job));
    assert_eq!(failed["error"]["code"], "input_damaged", "{:#}", failed["error"]);
}

#[test]
fn uploads_become_inputs() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = in_shards(folder.path(), 2, 2560);
    let server = Server::start();
    let client = &server.client;
    let send = |name: &str, bytes: &[u8], digest: Option<&str>| {
        // So that what is too large need not be sent to hear it.
        let mut request = ureq::put(format!("{}/v1/uploads/{name}", client.url)).header("expect", "100-continue");
        if let Some(digest) = digest {
            request = request.header("repr-digest", digest);
        }
        let mut answer = request.config().http_status_as_error(false).build().send(bytes).unwrap();
        (answer.status().as_u16(), answer.body_mut().read_json::<Value>().unwrap())
    };
    for entry in fs::read_dir(&checkpoint).unwrap() {
        let path = entry.unwrap().path();
        let (name, bytes) = (path.file_name().unwrap().to_str().unwrap(), fs::read(&path).unwrap());
        let (status, stored) = send(&format!("llama%2F{name}"), &bytes, None);
        assert_eq!((status, &stored["sha256"]), (201, &json!(sha256_hex(&bytes))), "{stored:#}");
        assert_eq!(stored["uri"], format!("upload://llama/{name}"));
    }
    client.run(&int8(&uri(&checkpoint)), &folder.path().join("here"));
    client.run(&int8("upload://llama/"), &folder.path().join("there"));
    assert!(lasting(&folder.path().join("here")) == lasting(&folder.path().join("there")));
    let listed = client.json("/v1/uploads");
    assert_eq!(listed["uploads"].as_array().unwrap().len(), 4);
    assert_eq!(listed["uploads"][0]["name"], "llama/config.json");

    // What does not have the digest that was promised, or is too large, leaves nothing; neither does a bad name.
    let zeros = vec![0; 20 << 20];
    let wrong = "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:";
    for (name, bytes, digest, status, code) in [
        ("x.npz", &b"x"[..], Some(wrong), 422, "digest_mismatch"),
        ("large.npz", &zeros, Some(wrong), 422, "digest_mismatch"),
        ("x.npz", b"x", Some("md5"), 422, "invalid_digest"),
        ("empty.npz", b"", None, 422, "empty_upload"),
        ("..%2Fx", b"x", None, 422, "invalid_name"),
        ("%2e%2e%2fx", b"x", None, 422, "invalid_name"),
        (".hidden", b"x", None, 422, "invalid_name"),
        ("a%5Cb", b"x", None, 422, "invalid_name"),
        ("llama", b"x", None, 409, "upload_name_conflict"),
        ("llama%2Fconfig.json%2Fx", b"x", None, 409, "upload_name_conflict"),
        ("huge.npz", &vec![0; 65 << 20], None, 413, "body_too_large"),
    ] {
        let (found, problem) = send(name, bytes, digest);
        assert_eq!((found, &problem["code"]), (status, &json!(code)), "{name}: {problem:#}");
    }
    assert_eq!(client.json("/v1/uploads")["uploads"].as_array().unwrap().len(), 4);
    let gone = client.send("DELETE", "/v1/uploads/llama%2Fconfig.json", &[], None);
    assert_eq!(gone.status, 204);
    assert_eq!(client.send("DELETE", "/v1/uploads/llama%2Fconfig.json", &[], None).status, 404);
    let failed = client.wait(&client.submit(&int8("upload://llama/config.json")));
    assert_eq!(failed["error"]["code"], "input_not_found");
}

#[test]
fn what_was_brought_once_is_not_brought_again() {
    let served = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&served);
    let npz = fs::read(fixture("calibration.npz")).unwrap();
    let model = fs::read(fixture("convnet.onnx")).unwrap();
    let router = Router::new().route(
        "/{name}",
        get(move |Route(name): Route<String>, headers: HeaderMap| {
            let bytes = if name.ends_with("npz") { npz.clone() } else { model.clone() };
            if headers.get(header::RANGE).is_none_or(|range| range != "bytes=0-0") {
                counting.fetch_add(1, Ordering::Relaxed);
            }
            async move { file(&bytes, "\"v1\"", &headers) }
        }),
    );
    let url = serve_router(router);
    let server = server();
    let rules = json!({"backend": "modelopt", "mode": "static_ptq", "layers": [
        {"module_name": "*", "weights": {"dtype": "int8"}, "activations": {"dtype": "int8"}}]});
    let job = json!({"model": {"uri": format!("{url}/m.onnx")}, "calibration": {"uri": format!("{url}/c.npz")},
        "quantize": rules.clone()});
    let folder = tempfile::tempdir().unwrap();
    server.client.run(&job, &folder.path().join("a"));
    assert_eq!(served.load(Ordering::Relaxed), 2);
    server.client.run(&job, &folder.path().join("b"));
    assert_eq!(served.load(Ordering::Relaxed), 2);
    assert!(lasting(&folder.path().join("a")) == lasting(&folder.path().join("b")));
    // Nor is the data run through the model again; nor for another algorithm that looks at the same.
    let reused = |job: &Value| job["warnings"].as_array().unwrap().iter().any(|w| w["code"] == "calibration_reused");
    let again = server.client.run(&job, &folder.path().join("d"));
    assert!(reused(&again), "{:#}", again["warnings"]);
    let with = |algorithm: &str| {
        let mut job = job.clone();
        job["quantize"]["algorithm"] = json!(algorithm);
        job
    };
    assert!(!reused(&server.client.run(&with("entropy"), &folder.path().join("e"))), "histograms are new");
    assert!(reused(&server.client.run(&with("percentile"), &folder.path().join("g"))));
    let mut fewer = job.clone();
    fewer["calibration"]["max_samples"] = json!(100);
    assert!(!reused(&server.client.run(&fewer, &folder.path().join("f"))));
    // And it is what a run on the disk makes.
    let mut local = local_job(&fixture("convnet.onnx"), &rules);
    local.inputs.calibration = Some(data(&fixture("calibration.npz")));
    run_local(&local, &folder.path().join("c")).unwrap();
    assert!(lasting(&folder.path().join("a"))["model.onnx"] == lasting(&folder.path().join("c"))["model.onnx"]);
}

#[test]
fn a_way_inside_is_not_taken() {
    let reached = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&reached);
    let secret = move || {
        counting.fetch_add(1, Ordering::Relaxed);
        async { "secret" }
    };
    let inside = serve_router(Router::new().route("/x.onnx", get(secret)));
    let port = inside.rsplit(':').next().unwrap();
    let moved = |to: String| get(move || async move { Redirect::temporary(&to) });
    let outside = serve_router(
        Router::new()
            .route("/a/x.onnx", moved(format!("{inside}/x.onnx")))
            .route("/b/x.onnx", moved(format!("http://localhost:{port}/x.onnx")))
            .route("/c/x.onnx", moved("http://169.254.169.254/latest/meta-data".to_owned()))
            .route("/d/x.onnx", moved("file:///etc/passwd".to_owned()))
            .route("/e/x.onnx", moved("https://[::ffff:127.0.0.1]/x.onnx".to_owned()))
            .route("/f/x.onnx", moved("/a/x.onnx".to_owned())),
    );
    // The one server that the operator named; what it says is another matter.
    let named = Server::start_with(|config| config.worker.storage.allow_sources = vec![format!("{outside}/")]);
    for way in ["a", "b", "c", "d", "e", "f"] {
        let failed = named.client.wait(&named.client.submit(&int8(&format!("{outside}/{way}/x.onnx"))));
        assert_eq!(failed["error"]["code"], "address_not_allowed", "{way}: {:#}", failed["error"]);
    }
    // Names of our own addresses: refused before anything is sent.
    let server = Server::start();
    for name in ["localhost", "127.0.0.1", "[::1]", "2130706433", "0x7f.1", "a.localhost"] {
        let job = int8(&format!("https://{name}:{port}/x.onnx")).to_string();
        let (status, problem) = server.client.post("/v1/jobs", "application/json", job.as_bytes());
        assert_eq!((status, &problem["errors"][0]["code"]), (422, &json!("invalid_uri")), "{name}: {problem:#}");
        assert!(problem.to_string().contains("address_not_allowed"), "{name}: {problem:#}");
    }
    assert_eq!(reached.load(Ordering::Relaxed), 0);
}
