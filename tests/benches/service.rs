//! The service under load, on Postgres: how long a POST takes with many clients, whether streams lose events, and how soon a
//! job stops.
//!
//! ```text
//! DATABASE_URL=postgres://… cargo bench --bench service -- [--jobs 2000] [--clients 32] [--listeners 200] [--gigabytes 4]
//! ```
//! Prints latencies of POST /v1/jobs beside the database's own: a round trip, and a transaction that writes one row, by as
//! many clients at the same time. Then follows running jobs with many listeners who are cut off and come back, and cancels a
//! job while it calibrates and while it writes a large checkpoint.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    reason = "a bench prints, fails by panicking, and is no library"
)]

mod llama;
#[path = "../it/support/repeated.rs"]
mod repeated;

use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use tokio::runtime::Runtime;

use repeated::repeated;

fn option<T: std::str::FromStr>(name: &str, default: T) -> T {
    let arguments: Vec<String> = env::args().collect();
    let found = arguments.iter().position(|argument| argument == name).and_then(|at| arguments.get(at + 1));
    found.and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn main() {
    if !env::args().any(|argument| argument == "--bench") {
        return; // `cargo test --benches` only wants to know that it starts
    }
    let database = env::var("DATABASE_URL").expect("DATABASE_URL names a Postgres");
    let folder = tempfile::tempdir().unwrap();
    let (jobs, clients) = (option("--jobs", 2000), option("--clients", 32));
    load(&database, folder.path(), jobs, clients);
    listen(&database, folder.path(), option("--listeners", 200));
    cancel(&database, folder.path(), option("--gigabytes", 4.0));
}

/// The program as a server; it ends with this.
struct Server {
    child: Child,
    url: String,
}

impl Server {
    fn start(database: &str, data: &Path, workers: usize) -> Self {
        let schema = format!("bench{}_{workers}_{}", std::process::id(), data.file_name().unwrap().to_string_lossy());
        let separator = if database.contains('?') { '&' } else { '?' };
        Runtime::new().unwrap().block_on(async {
            let mut connection = PgConnection::connect(database).await.unwrap();
            let create = format!("create schema \"{schema}\"");
            sqlx::query(sqlx::AssertSqlSafe(create)).execute(&mut connection).await.unwrap();
        });
        let url = format!("{database}{separator}options=-csearch_path%3D{schema}");
        let mut child = Command::new(env!("CARGO_BIN_EXE_ptqd"))
            .args(["serve", "--no-auth", "--listen", "127.0.0.1:0", "--workers", &workers.to_string(), "--data-dir"])
            .arg(data)
            .env("PTQD_DATABASE_URL", url)
            .env("PTQD_FILE_ROOTS", "/")
            .env("PTQD_LOG", "warn")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let told = lines.find_map(|line| Some(line.split_once("listening on ")?.1.split(' ').next()?.to_owned()));
        thread::spawn(move || lines.for_each(|line| println!("server: {line}")));
        Server { child, url: told.expect("the address") }
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        ureq::post(format!("{}{path}", self.url)).send_json(body).unwrap().body_mut().read_json().unwrap()
    }

    fn get(&self, path: &str) -> Value {
        ureq::get(format!("{}{path}", self.url)).call().unwrap().body_mut().read_json().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn fixture(name: &str) -> String {
    format!("file://{}/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn weight_only() -> Value {
    json!({"model": {"uri": fixture("vit.safetensors")},
        "quantize": {"layers": [{"module_name": "*", "weights": {"dtype": "int8"}}]}})
}

/// Does something so many times, by so many at once; how long each took.
fn times(count: usize, clients: usize, one: impl Fn(usize) + Sync) -> Vec<Duration> {
    let (next, all) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(count)));
    thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| {
                let mut mine = Vec::new();
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= count {
                        break;
                    }
                    let began = Instant::now();
                    one(n);
                    mine.push(began.elapsed());
                }
                all.lock().unwrap().extend(mine);
            });
        }
    });
    let mut all = all.into_inner().unwrap();
    all.sort();
    all
}

fn show(what: &str, sorted: &[Duration], wall: Duration) {
    let at = |part: f64| sorted[((sorted.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3;
    println!(
        "{what:32} p50 {:7.2} ms  p95 {:7.2} ms  p99 {:7.2} ms  max {:7.2} ms  {:6.0} a second",
        at(0.5),
        at(0.95),
        at(0.99),
        at(1.0),
        sorted.len() as f64 / wall.as_secs_f64()
    );
}

fn load(database: &str, folder: &Path, jobs: usize, clients: usize) {
    let server = Server::start(database, &folder.join("load"), 0);
    println!("{jobs} jobs by {clients} clients on loopback");
    // As many connections as clients, each used by one at a time, so that nobody waits for a connection.
    let runtime = Runtime::new().unwrap();
    let connections: Vec<Mutex<PgConnection>> =
        (0..clients).map(|_| Mutex::new(runtime.block_on(PgConnection::connect(database)).unwrap())).collect();
    let name = format!("bench_rows_{}", std::process::id());
    let run = |n: usize, statement: String| {
        let mut connection = connections[n % clients].lock().unwrap();
        runtime.block_on(sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&mut *connection)).unwrap();
    };
    run(0, format!("create unlogged table {name} (n bigint, body text)"));
    for round in 1..=2 {
        println!("round {round}");
        let began = Instant::now();
        let sorted = times(jobs, clients, |n| run(n, "select 1".to_owned()));
        show("Postgres: round trip", &sorted, began.elapsed());
        let began = Instant::now();
        let sorted = times(jobs, clients, |n| run(n, format!("insert into {name} values ({n}, repeat('x', 1000))")));
        show("Postgres: one row written", &sorted, began.elapsed());
        let agents: Vec<ureq::Agent> = (0..clients).map(|_| ureq::Agent::new_with_defaults()).collect();
        let url = format!("{}/v1/jobs", server.url);
        let began = Instant::now();
        let sorted = times(jobs, clients, |n| {
            let status = agents[n % clients].post(&url).send_json(weight_only()).unwrap().status();
            assert_eq!(status, 202);
        });
        show("POST /v1/jobs", &sorted, began.elapsed());
    }
    run(0, format!("drop table {name}"));
    let metrics = ureq::get(format!("{}/metrics", server.url)).call().unwrap().body_mut().read_to_string().unwrap();
    assert!(metrics.contains(&format!("ptqd_jobs{{status=\"queued\"}} {}", 2 * jobs)), "every job is in the queue");
}

/// Follows jobs with many listeners, each of whom is cut off again and again and comes back.
fn listen(database: &str, folder: &Path, listeners: usize) {
    const JOBS: usize = 20;
    let server = Arc::new(Server::start(database, &folder.join("listen"), 2));
    let ids: Vec<String> =
        (0..JOBS).map(|_| server.post("/v1/jobs", &long(folder, 1))["id"].as_str().unwrap().to_owned()).collect();
    let began = Instant::now();
    let cuts = AtomicUsize::new(0);
    let events = AtomicUsize::new(0);
    thread::scope(|scope| {
        for n in 0..listeners {
            let (server, id, cuts, events) = (Arc::clone(&server), &ids[n % JOBS], &cuts, &events);
            scope.spawn(move || {
                let mut seen = 0;
                loop {
                    let request = ureq::get(format!("{}/v1/jobs/{id}/events", server.url));
                    let request =
                        request.header("accept", "text/event-stream").header("last-event-id", seen.to_string());
                    let lines = BufReader::new(request.call().unwrap().into_body().into_reader()).lines();
                    // Some hang up after three events, some after ten; some stay.
                    let patience = [3, 10, usize::MAX][n % 3];
                    let mut ended = false;
                    let told = lines
                        .map_while(Result::ok)
                        .filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data:")?).ok());
                    for event in told.take(patience) {
                        seen += 1;
                        assert_eq!(event["seq"], json!(seen), "{id}: an event is missing or comes twice");
                        events.fetch_add(1, Ordering::Relaxed);
                        let status = event["data"]["status"].as_str().unwrap_or_default();
                        ended |= ["succeeded", "failed"].contains(&status);
                    }
                    if ended {
                        return;
                    }
                    cuts.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    println!(
        "{listeners} listeners on {JOBS} jobs: {} events in {:.1} s, {} reconnects, none lost, none twice",
        events.into_inner(),
        began.elapsed().as_secs_f64(),
        cuts.into_inner()
    );
}

/// A static PTQ job over the calibration samples many times over.
fn long(folder: &Path, copies: usize) -> Value {
    let path = folder.join(format!("long{copies}.npy"));
    repeated(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/calibration.npz"), copies, &path);
    let int8 = json!({"dtype": "int8"});
    json!({"model": {"uri": fixture("convnet.onnx")},
        "calibration": {"uri": format!("file://{}", path.display()), "batch_size": 1},
        "quantize": {"backend": "modelopt", "layers": [{"module_name": "*", "weights": int8, "activations": int8}]}})
}

fn cancel(database: &str, folder: &Path, gigabytes: f64) {
    let model = llama::make(Path::new("target/bench"), gigabytes).canonicalize().unwrap();
    let data = folder.join("cancel");
    let server = Server::start(database, &data, 1);
    let checkpoint = json!({"model": {"uri": format!("file://{}", model.display())},
        "quantize": {"layers": [{"module_name": "*", "weights": {"dtype": "int8"}}]}});
    let phases = [(long(folder, 200), "calibrating"), (checkpoint.clone(), "quantizing"), (checkpoint, "publishing")];
    for (job, phase) in phases {
        let mut waits = Vec::new();
        for _ in 0..5 {
            let id = server.post("/v1/jobs", &job)["id"].as_str().unwrap().to_owned();
            let path = format!("/v1/jobs/{id}");
            while server.get(&path)["phase"] != phase {
                thread::sleep(Duration::from_millis(5));
            }
            thread::sleep(Duration::from_millis(100));
            let began = Instant::now();
            server.post(&format!("{path}/cancel"), &json!({}));
            let ended = loop {
                let job = server.get(&path);
                if ["cancelled", "succeeded", "failed"].contains(&job["status"].as_str().unwrap()) {
                    break job;
                }
                thread::sleep(Duration::from_millis(5));
            };
            assert_eq!(ended["status"], "cancelled", "{phase}: {:#}", ended["error"]);
            waits.push(began.elapsed());
            thread::sleep(Duration::from_millis(500));
            let left = |folder: &str| fs::read_dir(data.join(folder)).map_or(0, Iterator::count);
            assert_eq!((left("scratch"), left("artifacts")), (0, 0), "something is left");
        }
        waits.sort();
        println!("cancelled while {phase}: {:.0?}, nothing left", waits);
    }
}
