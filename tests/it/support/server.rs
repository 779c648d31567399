//! A real server in this process, and a client that talks to it over HTTP.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use ptqd::{
    app::App,
    config::{
        AccessConfig, ComputeConfig, HttpConfig, Isolation, RetentionConfig, ServeConfig, StorageConfig, WorkerConfig,
    },
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::needed;

/// A server with a data folder of its own; both end with it.
pub struct Server {
    pub client: Client,
    pub folder: TempDir,
    app: Option<App>,
    runtime: Runtime,
}

/// The configuration of a server on a free port.
pub fn config(data_dir: PathBuf, workers: usize) -> ServeConfig {
    ServeConfig {
        listen: ([127, 0, 0, 1], 0).into(),
        workers,
        max_upload_mib: 64,
        http: HttpConfig::default(),
        access: AccessConfig::default(),
        worker: WorkerConfig {
            lease_seconds: 5,
            poll_milliseconds: 50,
            tenant_limit: None,
            default_timeout_seconds: WorkerConfig::DEFAULT_TIMEOUT_SECONDS,
            fan_out_mib: 1024,
            retention: RetentionConfig::default(),
            compute: ComputeConfig {
                onnxruntime: Some(needed("ORT_DYLIB_PATH").into()),
                openvino: None,
                threads: Some(2),
                memory_mib: 256,
                engine_memory_mib: None,
                isolation: Isolation::Auto,
                program: Some(env!("CARGO_BIN_EXE_ptqd").into()),
            },
            storage: StorageConfig::embedded(data_dir),
        },
    }
}

impl Server {
    /// A server with one worker, everything else by default.
    pub fn start() -> Self {
        Self::start_with(|_| {})
    }

    /// With the configuration changed.
    pub fn start_with(change: impl FnOnce(&mut ServeConfig)) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut config = config(folder.path().join("data"), 1);
        change(&mut config);
        let runtime = Runtime::new().expect("a runtime");
        let app = runtime.block_on(App::serve(&config)).expect("the server starts");
        Server { client: Client::new(format!("http://{}", app.address)), folder, app: Some(app), runtime }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(app) = self.app.take() {
            self.runtime.block_on(app.shut_down());
        }
    }
}

/// A client of one server.
#[derive(Clone)]
pub struct Client {
    pub url: String,
    /// Its API key, if it has one.
    pub key: Option<String>,
}

/// An answer: status, headers, body.
pub struct Answer {
    pub status: u16,
    pub headers: ureq::http::HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&self.body)))
    }
}

impl Client {
    pub fn new(url: String) -> Self {
        Client { url, key: None }
    }

    /// The same with an API key.
    pub fn with_key(&self, key: &str) -> Self {
        Client { key: Some(key.to_owned()), ..self.clone() }
    }

    /// Any request; a body is JSON.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&Value>) -> Answer {
        let mut request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(key) = &self.key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let agent: ureq::Agent =
            ureq::Agent::config_builder().http_status_as_error(false).allow_non_standard_methods(true).build().into();
        let result = match body {
            Some(body) => {
                agent.run(request.header("content-type", "application/json").body(body.to_string()).expect("a request"))
            }
            None => agent.run(request.body(()).expect("a request")),
        };
        let mut response = result.expect("an answer");
        let body = response.body_mut().with_config().limit(1 << 30).read_to_vec().expect("a body");
        Answer { status: response.status().as_u16(), headers: response.headers().clone(), body }
    }

    /// Status, media type and body of a GET.
    pub fn get(&self, path: &str) -> (u16, String, Vec<u8>) {
        let answer = self.send("GET", path, &[], None);
        let media_type = answer.header("content-type").to_owned();
        (answer.status, media_type, answer.body)
    }

    /// The JSON of a GET that succeeds.
    pub fn json(&self, path: &str) -> Value {
        let (status, _, body) = self.get(path);
        assert_eq!(status, 200, "{path}: {}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).expect("JSON")
    }

    /// Status and JSON of a POST of a body of any kind.
    pub fn post(&self, path: &str, media_type: &str, body: &[u8]) -> (u16, Value) {
        let mut request = ureq::post(format!("{}{path}", self.url)).header("content-type", media_type);
        if let Some(key) = &self.key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let mut response = request.config().http_status_as_error(false).build().send(body).expect("an answer");
        (response.status().as_u16(), response.body_mut().read_json().expect("JSON"))
    }

    /// The id of a job that is accepted.
    pub fn submit(&self, job: &Value) -> String {
        let (status, answer) = self.post("/v1/jobs", "application/json", job.to_string().as_bytes());
        assert_eq!(status, 202, "{answer:#}");
        answer["id"].as_str().expect("an id").to_owned()
    }

    /// The job once it has ended.
    pub fn wait(&self, id: &str) -> Value {
        let began = Instant::now();
        loop {
            let job = self.json(&format!("/v1/jobs/{id}"));
            if !["queued", "running", "cancelling"].contains(&job["status"].as_str().unwrap_or_default()) {
                return job;
            }
            assert!(began.elapsed() < Duration::from_secs(120), "the job does not end: {job:#}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Runs a job to its success and downloads its files.
    pub fn run(&self, job: &Value, folder: &Path) -> Value {
        let job = self.wait(&self.submit(job));
        assert_eq!(job["status"], "succeeded", "{:#}", job["error"]);
        std::fs::create_dir_all(folder).expect("a folder");
        for artifact in job["result"]["artifacts"].as_array().expect("artifacts") {
            let (status, _, body) = self.get(artifact["href"].as_str().expect("a link"));
            assert_eq!((status, body.len() as u64), (200, artifact["size"].as_u64().expect("a size")));
            std::fs::write(folder.join(artifact["name"].as_str().expect("a name")), body).expect("written");
        }
        job
    }
}
