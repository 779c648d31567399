//! A sharded checkpoint from an S3 server to the same server, beside each part of that alone.
//!
//! ```text
//! cargo bench --bench storage -- [--gigabytes 4] [--folder DIR] [--runs 3] [--link MB/s]
//! ```
//! Makes a Llama-shaped bf16 checkpoint from a fixed seed under DIR, once, and puts it into s3s-fs, which runs in this
//! process. In each run: the download of all shards alone, the computation on the local files alone (int8, with digests), the
//! upload of the result alone, all by the same code; then the job, by a server in a process of its own, with the largest
//! memory and scratch folder that were seen. `--link` puts a line of this speed, in each direction, before the server:
//! without it, server and program share the processor.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "a bench prints, fails by panicking, is no library, and does not use all of what it shares with the tests"
)]

mod llama;
#[path = "../it/support/proxy.rs"]
mod proxy;

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use axum::{Router, error_handling::HandleError, http::StatusCode};
use ptqd::{
    control::{Canceller, Control},
    job::Tenant,
    report::Artifact,
    storage::{Artifacts, ReadHere, Sources, Stager, Want},
};
use s3s::{auth::SimpleAuth, service::S3ServiceBuilder};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use proxy::{Line, Proxy};

fn option(name: &str) -> Option<String> {
    let arguments: Vec<String> = std::env::args().collect();
    arguments.iter().position(|argument| argument == name).and_then(|at| arguments.get(at + 1).cloned())
}

fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        return; // `cargo test --benches` only wants to know that it starts
    }
    let number = |name: &str, default: f64| option(name).map_or(default, |text| text.parse().expect("a number"));
    let folder = PathBuf::from(option("--folder").unwrap_or_else(|| "target/bench".to_owned()));
    fs::create_dir_all(&folder).unwrap();
    let folder = folder.canonicalize().unwrap();
    let model = llama::make(&folder, number("--gigabytes", 4.0));
    let runtime = Runtime::new().unwrap();
    if std::env::var_os("AWS_ENDPOINT").is_some() {
        for run in 1..=number("--runs", 3.0) as usize {
            measure(run, &runtime, &model, &folder.join("storage"));
        }
        return;
    }
    // The server stays in this process; what is measured takes its settings from the environment, and so is another one.
    let root = folder.join("s3");
    fs::create_dir_all(root.join("bucket")).unwrap();
    let server = serve(&runtime, &root);
    let proxy = Proxy::before(&server);
    let link = number("--link", 0.0);
    let settings = |address: &str| {
        [
            ("AWS_ENDPOINT", address.to_owned()),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "bench".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "bench".to_owned()),
        ]
    };
    put(&runtime, settings(&server), &model, &root);
    proxy.set(if link > 0.0 { Line::Slow(link * 1e6) } else { Line::Good });
    println!("line: {}", if link > 0.0 { format!("{link} MB/s each way") } else { "none".to_owned() });
    let address = if link > 0.0 { &proxy.url } else { &server };
    let again =
        Command::new(std::env::current_exe().unwrap()).args(std::env::args().skip(1)).envs(settings(address)).status();
    assert!(again.unwrap().success());
    fs::remove_dir_all(root).unwrap();
}

fn serve(runtime: &Runtime, root: &Path) -> String {
    let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(root).unwrap());
    builder.set_auth(SimpleAuth::from_single("bench", "bench"));
    let failed = |error: s3s::HttpError| async move { (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:?}")) };
    let router = Router::new().fallback_service(HandleError::new(builder.build(), failed));
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    runtime.spawn(async move { axum::serve(listener, router).await.unwrap() });
    format!("http://{address}")
}

/// Puts the checkpoint into the bucket, each file in one request: of those the server remembers the digest.
fn put(runtime: &Runtime, settings: [(&'static str, String); 5], model: &Path, root: &Path) {
    use object_store::{ObjectStoreExt, PutPayload, path::Path as Key};
    let _ = rustls::crypto::ring::default_provider().install_default();
    let options = settings.map(|(name, value)| (name.to_lowercase(), value)).into_iter();
    let options = options.chain([("timeout".to_owned(), "600 seconds".to_owned())]);
    let (store, _) = object_store::parse_url_opts(&"s3://bucket/".parse().unwrap(), options).unwrap();
    for entry in fs::read_dir(model).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if !root.join("bucket/models").join(&name).exists() {
            let bytes = fs::read(entry.path()).unwrap();
            runtime.block_on(store.put(&Key::from(format!("models/{name}")), PutPayload::from(bytes))).unwrap();
        }
    }
}

fn measure(run: usize, runtime: &Runtime, model: &Path, work: &Path) {
    let (inputs, out) = (work.join("inputs"), work.join("out"));
    fs::create_dir_all(&inputs).unwrap();
    let (notify, never) = (|_| (), Canceller::default());
    let control = Control::new(&notify, &never);
    let (sources, tenant) = (Sources::default(), Tenant::default());

    let began = Instant::now();
    runtime.block_on(async {
        let stager = Stager {
            sources: &sources,
            tenant: &tenant,
            folder: &inputs,
            companions: &ReadHere,
            cache: None,
            control: &control,
        };
        let staged = stager.bring("model", "s3://bucket/models/", Want::Model).await.unwrap();
        let shards = staged.shards.unwrap();
        for name in shards.names() {
            shards.bring(name, &control).await.unwrap();
            shards.release(name).unwrap();
        }
    });
    let download = began.elapsed();
    clear(&inputs);

    let spec = work.join("spec.json");
    let rules = json!({"layers": [{"module_name": "*", "weights": {"dtype": "int8"}}]});
    fs::write(&spec, rules.to_string()).unwrap();
    let mut quantize = Command::new(env!("CARGO_BIN_EXE_ptqd"));
    quantize.args(["quantize", "--digests", "--model"]).arg(model).arg("--spec").arg(&spec).arg("--out").arg(&out);
    let began = Instant::now();
    assert!(quantize.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success());
    let compute = began.elapsed();

    let artifacts = Artifacts::open("s3://bucket/alone").unwrap();
    let files: Vec<Artifact> = fs::read_dir(&out).unwrap().map(|entry| entry.unwrap()).map(artifact).collect();
    let began = Instant::now();
    runtime.block_on(artifacts.publish("x", &out, &files, &never)).unwrap();
    let upload = began.elapsed();
    runtime.block_on(artifacts.discard("x"));
    clear(&out);

    let (wall, seen) = job(&work.join("data"), &rules);
    let longest = download.max(compute).max(upload);
    println!(
        "run {run}: download {:.1} s, compute {:.1} s, upload {:.1} s; job {:.1} s = {:.2} x the longest; memory {} MiB at \
         most ({} MiB anonymous); scratch {:.2} GB at most = {:.2} of the largest shard",
        download.as_secs_f64(),
        compute.as_secs_f64(),
        upload.as_secs_f64(),
        wall.as_secs_f64(),
        wall.as_secs_f64() / longest.as_secs_f64(),
        seen.memory >> 10,
        seen.anonymous >> 10,
        seen.scratch as f64 / 1e9,
        seen.scratch as f64 / largest(model) as f64,
    );
}

fn artifact(entry: fs::DirEntry) -> Artifact {
    let (name, size) = (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().len());
    Artifact { media_type: String::new(), name, size, sha256: None }
}

fn largest(model: &Path) -> u64 {
    fs::read_dir(model).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).max().unwrap()
}

/// Removes a folder and waits for the disk, so that what comes next does not pay for this one's writes.
fn clear(folder: &Path) {
    fs::remove_dir_all(folder).unwrap();
    assert!(Command::new("sync").status().expect("sync starts").success());
}

/// The most that was seen of a process, in kibibytes, and of its scratch folder, in bytes.
#[derive(Default)]
struct Seen {
    memory: u64,
    anonymous: u64,
    scratch: u64,
}

/// Runs the job by a server of its own. The time from the request to the end.
fn job(data: &Path, rules: &Value) -> (Duration, Seen) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ptqd"));
    command.args(["serve", "--listen", "127.0.0.1:0", "--artifacts", "s3://bucket/results", "--data-dir"]).arg(data);
    let mut server = command.env("PTQD_LOG", "info").stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(server.stderr.take().unwrap()).lines().map_while(Result::ok);
    let url = lines.find_map(|line| Some(line.split_once("listening on ")?.1.split(' ').next()?.to_owned())).unwrap();
    std::thread::spawn(move || lines.for_each(drop));
    let request = json!({"model": {"uri": "s3://bucket/models/"}, "quantize": rules}).to_string();
    let began = Instant::now();
    let mut answer = ureq::post(format!("{url}/v1/jobs")).content_type("application/json").send(&request).unwrap();
    let id = answer.body_mut().read_json::<Value>().unwrap()["id"].as_str().unwrap().to_owned();
    let mut seen = Seen::default();
    let mut asked = Instant::now();
    let wall = loop {
        look(&server, &data.join("scratch"), &mut seen);
        if asked.elapsed() > Duration::from_millis(50) {
            let job: Value = ureq::get(format!("{url}/v1/jobs/{id}")).call().unwrap().body_mut().read_json().unwrap();
            match job["status"].as_str().unwrap() {
                "succeeded" => break began.elapsed(),
                "queued" | "running" => {}
                _ => panic!("{:#}", job["error"]),
            }
            asked = Instant::now();
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let gone = ureq::delete(format!("{url}/v1/jobs/{id}")).call().unwrap();
    assert_eq!(gone.status(), 204);
    server.kill().unwrap();
    server.wait().unwrap();
    clear(data);
    (wall, seen)
}

fn look(server: &Child, scratch: &Path, seen: &mut Seen) {
    let status = fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap_or_default();
    let figure = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0)
    };
    seen.memory = seen.memory.max(figure("VmRSS:"));
    seen.anonymous = seen.anonymous.max(figure("RssAnon:"));
    seen.scratch = seen.scratch.max(taken(scratch));
}

/// What a folder takes on the disk, holes left out.
fn taken(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => taken(&entry.path()),
            Ok(metadata) => metadata.blocks() * 512,
            Err(_) => 0,
        })
        .sum()
}
