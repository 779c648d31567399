//! Inputs from and artifacts to object stores: S3 (s3s-fs and moto), Azure (Azurite), Google Cloud Storage's requests; over
//! good lines and bad ones.

use std::{fs, path::Path, time::Duration};

use ptqd::digest::sha256_hex;
use serde_json::{Value, json};

use crate::support::{
    Client, Cloud, Line, OVERLOADED, Process, Proxy, eventually, fixture, in_shards, lasting, program, python, serve,
    uri, wait_for_phase,
};

fn int8(model: &str) -> Value {
    json!({"model": {"uri": model}, "quantize": {"layers": [{"module_name": "*", "weights": {"dtype": "int8"}}]}})
}

fn manifest(client: &Client, job: &Value) -> Value {
    client.json(&format!("/v1/jobs/{}/artifacts/manifest.json", job["id"].as_str().unwrap()))
}

/// The same tests against several stores, each named by the store: `a_store_gives_inputs_and_takes_artifacts::azurite`.
macro_rules! clouds {
    ($($test:ident: $($store:ident),+;)+) => {
        $(mod $test {
            $(#[test]
            fn $store() {
                super::$test(&super::Cloud::$store());
            })+
        })+
    };
}

clouds!(
    a_store_gives_inputs_and_takes_artifacts: s3s, moto, azurite, gcs;
    a_line_that_is_cut_again_and_again_costs_time_and_nothing_else: s3s, moto, azurite, gcs;
    a_slow_line_is_waited_for_and_a_job_on_it_cancelled_in_the_middle: moto, azurite, gcs;
    an_overloaded_store_is_retried_or_reported: s3s, azurite, gcs;
);

/// Everything about one store.
fn a_store_gives_inputs_and_takes_artifacts(cloud: &Cloud) {
    let name = cloud.name;
    let folder = tempfile::tempdir().unwrap();
    // Shards of 40 MB: results of several parts.
    let checkpoint = in_shards(folder.path(), 2, 5120);
    cloud.put_folder("models/llama", &checkpoint);
    cloud.put("models/vit one.safetensors", fs::read(fixture("vit.safetensors")).unwrap());
    let data = folder.path().join("data");
    let server = serve(cloud.program("serve", &data, None));
    let client = &server.client;

    // The same bytes as from the disk, by a checkpoint's folder and by its index.
    for (n, model) in ["", "model.safetensors.index.json"].into_iter().enumerate() {
        let (here, there) = (folder.path().join(format!("here{n}")), folder.path().join(format!("there{n}")));
        let local = client.run(&int8(&uri(&checkpoint.join(model))), &here);
        let remote = client.run(&int8(&cloud.uri(&format!("models/llama/{model}"))), &there);
        assert!(lasting(&here) == lasting(&there), "{name}: {model}: files differ");
        let (local, remote) = (manifest(client, &local), manifest(client, &remote));
        let origin = cloud.uri(&format!("models/llama/{model}"));
        assert_eq!(remote["origins"], json!({"model": origin.trim_end_matches('/')}));
        assert_eq!(local["inputs"], remote["inputs"], "{name}: digests of what was read");
    }
    // A single file, whose name has a space.
    let job = client.wait(&client.submit(&int8(&cloud.uri("models/vit one.safetensors"))));
    assert_eq!(job["status"], "succeeded", "{name}: {:#}", job["error"]);
    let artifact = &job["result"]["artifacts"][0];
    let href = artifact["href"].as_str().unwrap();
    let whole = client.send("GET", href, &[], None);
    assert_eq!((whole.status, json!(sha256_hex(&whole.body))), (200, artifact["sha256"].clone()), "{name}");
    assert!(whole.header("content-disposition").starts_with("attachment"), "{name}");
    let part = client.send("GET", href, &[("range", "bytes=5-14")], None);
    assert_eq!((part.status, &part.body[..]), (206, &whole.body[5..15]), "{name}");

    // Nothing but artifacts, and no upload that was begun; and nothing after the jobs are gone.
    let jobs: Vec<Value> = client.json("/v1/jobs")["jobs"].as_array().unwrap().clone();
    let listed = |job: &Value| client.json(&format!("/v1/jobs/{}", job["id"].as_str().unwrap()));
    let files = jobs.iter().map(|job| listed(job)["result"]["artifacts"].as_array().unwrap().len()).sum::<usize>();
    assert_eq!((cloud.keys("team").len(), cloud.uploads()), (files, 0), "{name}");
    for job in &jobs {
        client.send("DELETE", &format!("/v1/jobs/{}", job["id"].as_str().unwrap()), &[], None);
    }
    assert_eq!((cloud.keys("team").len(), cloud.uploads()), (0, 0), "{name}");

    // What is missing is named.
    for (missing, code) in [
        (cloud.uri("models/no.onnx"), "input_not_found"),
        (cloud.uri("models/no/"), "input_not_found"),
        (format!("{}://no-such-bucket/x.onnx", cloud.scheme), "input_not_found"),
    ] {
        let failed = client.wait(&client.submit(&int8(&missing)));
        assert_eq!(failed["error"]["code"], code, "{name}: {missing}: {:#}", failed["error"]);
    }
    assert_eq!(fs::read_dir(data.join("scratch")).unwrap().count(), 0, "{name}");
}

#[test]
fn a_graph_with_its_weights_beside_it_and_its_data_come_from_a_bucket() {
    let (cloud, folder) = (Cloud::s3s(), tempfile::tempdir().unwrap());
    let mut program = cloud.program("serve", &folder.path().join("data"), None);
    let local = folder.path().join("external");
    fs::create_dir(&local).unwrap();
    python("externalize.py", &[&fixture("convnet.onnx"), &local.join("m.onnx")]);
    cloud.put("g/m.onnx", fs::read(local.join("m.onnx")).unwrap());
    cloud.put("g/weights/all.bin", fs::read(local.join("weights/all.bin")).unwrap());
    let npz = fs::read(fixture("evaluation.npz")).unwrap();
    cloud.put("data/set/a.npz", npz.clone());
    program.args(["--presign-seconds", "60"]);
    let server = serve(program);
    let job = json!({
        "model": {"uri": cloud.uri("g/m.onnx")},
        "calibration": {"uri": cloud.uri("data/set/a.npz"), "max_samples": 16},
        "evaluation": {"uri": cloud.uri("data/set/a.npz"), "labels": "y", "max_samples": 16},
        "quantize": {"backend": "modelopt", "mode": "static_ptq", "layers": [
            {"module_name": "*", "weights": {"dtype": "int8"}, "activations": {"dtype": "int8"}}]}
    });
    let client = &server.client;
    let planned = client.post("/v1/plans", "application/json", job.to_string().as_bytes());
    assert_eq!(planned.0, 200, "{:#}", planned.1);
    let done = client.wait(&client.submit(&job));
    assert_eq!(done["status"], "succeeded", "{:#}", done["error"]);
    // Downloads are the store's affair: a URL that it takes without our key, for a while.
    let artifact = &done["result"]["artifacts"][0];
    let plain: ureq::Agent = ureq::Agent::config_builder().max_redirects(0).build().into();
    let sent = plain.get(format!("{}{}", client.url, artifact["href"].as_str().unwrap())).call().unwrap();
    assert_eq!((sent.status().as_u16(), sent.headers()["cache-control"].to_str().unwrap()), (307, "no-store"));
    let url = sent.headers()["location"].to_str().unwrap().to_owned();
    assert!(url.starts_with(&cloud.url) && url.contains("X-Amz-Expires=60"), "{url}");
    let mut file = plain.get(&url).call().unwrap();
    assert!(file.headers()["content-disposition"].to_str().unwrap().starts_with("attachment"));
    let bytes = file.body_mut().read_to_vec().unwrap();
    assert_eq!(json!(sha256_hex(&bytes)), artifact["sha256"]);
    assert!(plain.get(url.replace("Signature=", "Signature=0")).call().is_err(), "a forged URL");
    let inputs = client.json(&format!("/v1/jobs/{}/artifacts/manifest.json", done["id"].as_str().unwrap()));
    let names = inputs["inputs"]["model"].as_array().unwrap().iter().map(|file| file["name"].clone());
    assert_eq!(names.collect::<Vec<_>>(), ["m.onnx", "all.bin"]);
}

#[test]
fn azure_signs_urls_of_artifacts() {
    let (cloud, folder) = (Cloud::azurite(), tempfile::tempdir().unwrap());
    let mut program = cloud.program("serve", folder.path(), None);
    program.args(["--presign-seconds", "60"]);
    let server = serve(program);
    let job = server.client.wait(&server.client.submit(&int8(&uri(&fixture("vit.safetensors")))));
    let artifact = &job["result"]["artifacts"][0];
    // Followed by the client, as any would.
    let (status, _, body) = server.client.get(artifact["href"].as_str().unwrap());
    assert_eq!((status, json!(sha256_hex(&body))), (200, artifact["sha256"].clone()));
}

/// No server checks Google's signatures: the URL has what its documents ask for.
#[test]
fn google_signs_urls_of_artifacts() {
    let (cloud, folder) = (Cloud::gcs(), tempfile::tempdir().unwrap());
    let server = serve(cloud.program("serve", folder.path(), None));
    let job = server.client.wait(&server.client.submit(&int8(&uri(&fixture("vit.safetensors")))));
    let href = job["result"]["artifacts"][0]["href"].as_str().unwrap();
    drop(server);
    // An account that signs by itself is one that wants tokens, which nobody gives here; signing needs none.
    let mut account = python("service_account.py", &[Path::new(&cloud.url)]);
    account["disable_oauth"] = json!(false);
    let mut program = cloud.program("serve", folder.path(), None);
    program.args(["--presign-seconds", "60"]).env("GOOGLE_SERVICE_ACCOUNT_KEY", account.to_string());
    let server = serve(program);
    let plain: ureq::Agent = ureq::Agent::config_builder().max_redirects(0).build().into();
    let sent = plain.get(format!("{}{href}", server.client.url)).call().unwrap();
    let url = sent.headers()["location"].to_str().unwrap();
    let asked =
        ["X-Goog-Algorithm=GOOG4-RSA-SHA256", "X-Goog-Expires=60", "X-Goog-Signature=", "X-Goog-Credential=ptqd"];
    assert!(url.starts_with(&cloud.url) && asked.iter().all(|part| url.contains(part)), "{url}");
}

/// A server of jobs behind a line to its store, and a checkpoint in it.
fn behind(cloud: &Cloud, folder: &Path, rows: usize) -> (Proxy, Process) {
    let checkpoint = in_shards(folder, 4, rows);
    cloud.put_folder("models/llama", &checkpoint);
    let proxy = Proxy::before(&cloud.url);
    let server = serve(cloud.program_at(&proxy.url, &cloud.uri("team"), "serve", &folder.join("data"), None));
    (proxy, server)
}

fn a_line_that_is_cut_again_and_again_costs_time_and_nothing_else(cloud: &Cloud) {
    let folder = tempfile::tempdir().unwrap();
    let (proxy, server) = behind(cloud, folder.path(), 5120);
    let whole = server.client.run(&int8(&cloud.uri("models/llama/")), &folder.path().join("whole"));
    // In the middle of parts, of answers, of everything.
    proxy.set(Line::Cut { after: 3 << 20, times: 12 });
    let cut = server.client.run(&int8(&cloud.uri("models/llama/")), &folder.path().join("cut"));
    assert!(proxy.spoilt.load(std::sync::atomic::Ordering::Relaxed) >= 12);
    assert_eq!((&cut["attempt"], &whole["attempt"]), (&json!(1), &json!(1)));
    proxy.set(Line::Good);
    assert!(lasting(&folder.path().join("whole")) == lasting(&folder.path().join("cut")));
    assert_eq!(cloud.uploads(), 0);
}

fn a_slow_line_is_waited_for_and_a_job_on_it_cancelled_in_the_middle(cloud: &Cloud) {
    let folder = tempfile::tempdir().unwrap();
    let (proxy, server) = behind(cloud, folder.path(), 5120);
    let client = &server.client;
    proxy.set(Line::Slow(24e6));
    let job = client.wait(&client.submit(&int8(&cloud.uri("models/llama/"))));
    assert_eq!(job["status"], "succeeded", "{:#}", job["error"]);
    let kept = cloud.keys("team").len();
    proxy.set(Line::Slow(2e6));
    let id = client.submit(&int8(&cloud.uri("models/llama/")));
    wait_for_phase(client, &id, "quantizing");
    client.send("POST", &format!("/v1/jobs/{id}/cancel"), &[], None);
    // The rest of the checkpoint would take more than a minute.
    eventually("it has stopped", Duration::from_secs(20), || {
        client.json(&format!("/v1/jobs/{id}"))["status"] == "cancelled"
    });
    proxy.set(Line::Good);
    let scratch = folder.path().join("data/scratch");
    eventually("nothing is left of it", Duration::from_secs(10), || {
        (cloud.keys("").iter().filter(|key| !key.starts_with("models/")).count(), cloud.uploads()) == (kept, 0)
            && fs::read_dir(&scratch).unwrap().count() == 0
    });
}

fn an_overloaded_store_is_retried_or_reported(cloud: &Cloud) {
    let folder = tempfile::tempdir().unwrap();
    let (proxy, server) = behind(cloud, folder.path(), 2048);
    let client = &server.client;
    // Two seconds of overload: the job does not notice.
    proxy.set(Line::Answer(OVERLOADED));
    let id = client.submit(&int8(&cloud.uri("models/llama/")));
    std::thread::sleep(Duration::from_secs(2));
    proxy.set(Line::Good);
    let job = client.wait(&id);
    assert_eq!((&job["status"], &job["attempt"]), (&json!("succeeded"), &json!(1)), "{:#}", job["error"]);
    // One that does not pass: told, with the way to try again.
    proxy.set(Line::Answer(OVERLOADED));
    let mut patient = int8(&cloud.uri("models/llama/"));
    patient["max_attempts"] = json!(1);
    let id = client.submit(&patient);
    let failed = client.wait(&id);
    let error = &failed["error"];
    assert_eq!((&error["code"], &error["retryable"]), (&json!("input_unreachable"), &json!(true)), "{error:#}");
    assert!(error["message"].as_str().unwrap().contains("503"), "{error:#}");
    assert_eq!(client.send("GET", "/readyz", &[], None).status, 503);
    proxy.set(Line::Good);
    assert_eq!(client.send("POST", &format!("/v1/jobs/{id}/retry"), &[], None).status, 202);
    assert_eq!(client.wait(&id)["status"], "succeeded");
    assert_eq!(cloud.uploads(), 0);
}

#[test]
fn invalid_credentials_are_reported_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let cloud = Cloud::s3s();
    cloud.put("models/m.safetensors", fs::read(fixture("vit.safetensors")).unwrap());
    let mut program = program("serve", &folder.path().join("wrong"), None);
    program.envs(cloud.env(&cloud.url)).env("AWS_SECRET_ACCESS_KEY", "another");
    let wrong = serve(program);
    let mut once = int8(&cloud.uri("models/m.safetensors"));
    once["max_attempts"] = json!(1);
    let failed = wrong.client.wait(&wrong.client.submit(&once));
    assert_eq!(failed["error"]["code"], "input_denied", "{:#}", failed["error"]);
    assert!(!failed.to_string().contains("another"), "the secret is shown");

    // Azure, with the key of another account.
    let azure = Cloud::azurite();
    azure.put("models/m.safetensors", fs::read(fixture("vit.safetensors")).unwrap());
    let mut program = crate::support::program("serve", &folder.path().join("azure"), None);
    program.envs(azure.env(&azure.url)).env("AZURE_STORAGE_ACCOUNT_KEY", "YW5vdGhlciBrZXk=");
    let wrong = serve(program);
    let mut azure_once = int8(&azure.uri("models/m.safetensors"));
    azure_once["max_attempts"] = json!(1);
    let failed = wrong.client.wait(&wrong.client.submit(&azure_once));
    assert_eq!(failed["error"]["code"], "input_denied", "{:#}", failed["error"]);

    // A token that has run out, as S3 says it.
    const EXPIRED: &str = "HTTP/1.1 400 Bad Request\r\ncontent-type: application/xml\r\ncontent-length: 96\r\nconnection: \
        close\r\n\r\n<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>      ";
    let proxy = Proxy::before(&cloud.url);
    let expired = cloud.program_at(&proxy.url, &cloud.uri("team"), "serve", &folder.path().join("expired"), None);
    let server = serve(expired);
    proxy.set(Line::Answer(EXPIRED));
    let mut local = int8(&uri(&fixture("vit.safetensors")));
    local["max_attempts"] = json!(1);
    for (job, code) in [(once, "input_denied"), (local, "store_failed")] {
        let failed = server.client.wait(&server.client.submit(&job));
        let error = &failed["error"];
        assert_eq!(error["code"], code, "{error:#}");
        assert!(error["message"].as_str().unwrap().contains("ExpiredToken"), "{error:#}");
    }
}

/// Tokens that have run out, as Azure and Google say it.
#[test]
fn expired_tokens_of_azure_and_google_are_reported_as_such() {
    const AZURE: &str = "HTTP/1.1 403 Server failed to authenticate the request\r\nx-ms-error-code: AuthenticationFailed\r\n\
        content-length: 0\r\nconnection: close\r\n\r\n";
    const GOOGLE: &str = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let folder = tempfile::tempdir().unwrap();
    for (cloud, answer) in [(Cloud::azurite(), AZURE), (Cloud::gcs(), GOOGLE)] {
        let proxy = Proxy::before(&cloud.url);
        let data = folder.path().join(cloud.name);
        let server = serve(cloud.program_at(&proxy.url, &cloud.uri("team"), "serve", &data, None));
        proxy.set(Line::Answer(answer));
        for (model, code) in
            [(cloud.uri("models/m.safetensors"), "input_denied"), (uri(&fixture("vit.safetensors")), "store_failed")]
        {
            let mut job = int8(&model);
            job["max_attempts"] = json!(1);
            let failed = server.client.wait(&server.client.submit(&job));
            assert_eq!(failed["error"]["code"], code, "{}: {:#}", cloud.name, failed["error"]);
        }
    }
}

#[test]
fn what_a_killed_worker_was_uploading_is_abandoned() {
    let folder = tempfile::tempdir().unwrap();
    let cloud = Cloud::moto();
    let (proxy, mut server) = behind(&cloud, folder.path(), 8192);
    proxy.set(Line::Slow(8e6));
    let id = server.client.submit(&int8(&cloud.uri("models/llama/")));
    eventually("an upload is under way", Duration::from_secs(60), || cloud.uploads() > 0);
    std::thread::sleep(Duration::from_millis(300));
    server.child.kill().unwrap();
    server.child.wait().unwrap();
    assert!(cloud.uploads() > 0, "the kill came too late");
    proxy.set(Line::Good);
    let server = serve(cloud.program_at(&proxy.url, &cloud.uri("team"), "serve", &folder.path().join("data"), None));
    let job = server.client.wait(&id);
    assert_eq!((&job["status"], &job["attempt"]), (&json!("succeeded"), &json!(1)), "{:#}", job["error"]);
    let files = job["result"]["artifacts"].as_array().unwrap().len();
    drop(server);
    // The janitor of the next start looks at what has ended lately.
    let _server = serve(cloud.program_at(&proxy.url, &cloud.uri("team"), "serve", &folder.path().join("data"), None));
    eventually("nothing is left of it", Duration::from_secs(20), || {
        (cloud.uploads(), cloud.keys("team").len()) == (0, files)
    });
}
