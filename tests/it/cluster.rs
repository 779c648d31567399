//! Several processes on one Postgres: shards shared among them, capacities, and chaos.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use ptqd::digest::sha256_hex;
use serde_json::{Value, json};

use crate::support::{
    Client, Postgres, Process, Server, ended_in_the_middle, endless_job, eventually, fixture, in_shards, lasting,
    program, schema, serve, sharded, uri, wait_for_phase, work,
};

/// One database, one artifact store, one server without workers.
struct Cluster {
    url: String,
    folder: tempfile::TempDir,
    server: Process,
    started: usize,
}

impl Cluster {
    fn start(url: String) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut server = program("serve", &folder.path().join("server"), Some(&url));
        server.args(["--workers", "0", "--artifacts"]).arg(folder.path().join("artifacts"));
        Cluster { server: serve(server), url, folder, started: 0 }
    }

    fn worker(&mut self, arguments: &[&str]) -> Process {
        self.started += 1;
        let mut worker =
            program("worker", &self.folder.path().join(format!("worker{}", self.started)), Some(&self.url));
        worker.args(["--lease-seconds", "3", "--poll-milliseconds", "100", "--artifacts"]);
        work_on(worker.arg(self.folder.path().join("artifacts")).args(arguments))
    }

    fn client(&self) -> &Client {
        &self.server.client
    }
}

fn work_on(command: &mut std::process::Command) -> Process {
    let command = std::mem::replace(command, std::process::Command::new("true"));
    work(command)
}

fn int8(model: &Path) -> Value {
    json!({"model": {"uri": uri(model)}, "quantize": {"layers": [{"module_name": "*", "weights": {"dtype": "int8"}}]}})
}

/// Downloads a job's files.
fn files(client: &Client, job: &Value, folder: &Path) -> PathBuf {
    let folder = folder.join(job["id"].as_str().unwrap());
    fs::create_dir_all(&folder).unwrap();
    for artifact in job["result"]["artifacts"].as_array().unwrap() {
        let (status, _, body) = client.get(artifact["href"].as_str().unwrap());
        assert_eq!(status, 200);
        assert_eq!(json!(sha256_hex(&body)), artifact["sha256"], "{artifact}");
        fs::write(folder.join(artifact["name"].as_str().unwrap()), body).unwrap();
    }
    folder
}

#[test]
fn eight_shards_over_three_workers_are_the_single_process_bytes() {
    let mut cluster = Cluster::start(schema("fanout"));
    let model = in_shards(cluster.folder.path(), 8, 1024);
    let workers: Vec<Process> = (0..3).map(|_| cluster.worker(&["--fan-out-mib", "1"])).collect();
    eventually("three workers are alive", Duration::from_secs(20), || {
        String::from_utf8(cluster.client().get("/metrics").2).unwrap().contains("ptqd_workers 3")
    });
    let id = cluster.client().submit(&int8(&model));
    let job = cluster.client().wait(&id);
    assert_eq!(job["status"], "succeeded", "{:#}", job["error"]);
    let events = cluster.client().json(&format!("/v1/jobs/{id}/events?after=0"));
    let done = events["events"].as_array().unwrap().iter().filter(|event| event["type"] == "shard.completed");
    assert_eq!(done.count(), 8, "{events:#}");
    let shared = files(cluster.client(), &job, cluster.folder.path());
    let single = Server::start();
    let alone = cluster.folder.path().join("alone");
    single.client.run(&int8(&model), &alone);
    let read =
        |folder: &Path, name: &str| -> Value { serde_json::from_slice(&fs::read(folder.join(name)).unwrap()).unwrap() };
    let report = read(&alone, "report.json");
    let (there, here) = (lasting(&shared), lasting(&alone));
    assert_eq!(there.keys().collect::<Vec<_>>(), here.keys().collect::<Vec<_>>());
    for (name, bytes) in &here {
        assert!(there[name] == *bytes, "{name} differs");
    }
    let read = |name: &str| read(&shared, name);
    assert_eq!(read("report.json")["layers"], report["layers"], "the same figures, to the last bit");
    for field in ["bytes_before", "bytes_after", "layers_quantized", "compression"] {
        assert_eq!(read("report.json")["summary"][field], report["summary"][field], "{field}");
    }
    let inputs = read("manifest.json")["inputs"]["model"].as_array().unwrap().clone();
    assert_eq!(inputs.len(), 10, "eight shards, index, configuration");
    assert!(inputs.iter().all(|file| file["sha256"].is_string()));
    drop(workers);
    // No scratch folder is left on any of them.
    for n in 1..=3 {
        let scratch = cluster.folder.path().join(format!("worker{n}/scratch"));
        assert_eq!(fs::read_dir(scratch).unwrap().count(), 0);
    }
}

#[test]
fn a_broken_shard_fails_the_job_with_its_cause() {
    let mut cluster = Cluster::start(schema("broken"));
    let model = sharded(cluster.folder.path(), 1024);
    let _workers: Vec<Process> = (0..2).map(|_| cluster.worker(&["--fan-out-mib", "1"])).collect();
    eventually("two workers are alive", Duration::from_secs(20), || {
        String::from_utf8(cluster.client().get("/metrics").2).unwrap().contains("ptqd_workers 2")
    });
    // NaN in the last shard: found only when its values are read.
    let last = model.join("model-00004-of-00004.safetensors");
    let mut bytes = fs::read(&last).unwrap();
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(&last, bytes).unwrap();
    let id = cluster.client().submit(&int8(&model));
    let job = cluster.client().wait(&id);
    assert_eq!((&job["status"], &job["error"]["code"]), (&json!("failed"), &json!("weight_not_finite")), "{job:#}");
    let artifacts = cluster.folder.path().join("artifacts").join(&id);
    eventually("no shard is left behind", Duration::from_secs(10), || !artifacts.exists());
}

#[test]
fn a_worker_takes_only_what_it_is_able_to_do() {
    let mut cluster = Cluster::start(schema("able"));
    let weights = json!({"dtype": "int8"});
    let job = json!({"model": {"uri": uri(&fixture("convnet.onnx"))},
        "calibration": {"uri": uri(&fixture("calibration.npz"))},
        "quantize": {"backend": "modelopt", "layers": [{"module_name": "*", "weights": weights, "activations": weights}]}});
    // Without the library, static PTQ is another's.
    let without = cluster.worker(&["--onnxruntime", "/nowhere/libonnxruntime.so"]);
    let small = cluster.worker(&["--engine-memory-mib", "1"]);
    let id = cluster.client().submit(&job);
    // The small one looks at it and, being the only one, says why it cannot.
    let failed = cluster.client().wait(&id);
    assert_eq!(failed["error"]["code"], "memory_insufficient", "{failed:#}");
    let large = cluster.worker(&[]);
    eventually("three workers are alive", Duration::from_secs(20), || {
        String::from_utf8(cluster.client().get("/metrics").2).unwrap().contains("ptqd_workers 3")
    });
    // Now it leaves it to the one that can: which of the two takes it first is chance.
    for _ in 0..3 {
        let id = cluster.client().submit(&job);
        let done = cluster.client().wait(&id);
        assert_eq!((&done["status"], &done["attempt"]), (&json!("succeeded"), &json!(1)), "{done:#}");
    }
    drop((without, small, large));
}

#[test]
fn a_job_of_another_process_is_cancelled_in_the_middle() {
    let mut cluster = Cluster::start(schema("cancel"));
    let _worker = cluster.worker(&[]);
    let id = cluster.client().submit(&endless_job(cluster.folder.path()));
    wait_for_phase(cluster.client(), &id, "calibrating");
    assert_eq!(cluster.client().send("POST", &format!("/v1/jobs/{id}/cancel"), &[], None).status, 200);
    let ended = cluster.client().wait(&id);
    assert_eq!(ended["status"], "cancelled");
    ended_in_the_middle(&ended, "calibrating");
    let scratch = cluster.folder.path().join("worker1/scratch");
    eventually("nothing is left", Duration::from_secs(5), || fs::read_dir(&scratch).unwrap().count() == 0);
}

#[test]
fn a_worker_does_not_sweep_what_another_database_knows_of() {
    let mut one = Cluster::start(schema("one"));
    let _worker = one.worker(&[]);
    let id = one.client().submit(&int8(&fixture("vit.safetensors")));
    let job = one.client().wait(&id);
    let (url, artifacts) = (schema("two"), one.folder.path().join("artifacts"));
    let mut stranger = program("worker", &one.folder.path().join("stranger"), Some(&url));
    let _stranger = work_on(stranger.arg("--artifacts").arg(&artifacts));
    std::thread::sleep(Duration::from_secs(2));
    files(one.client(), &job, one.folder.path());
    // Its own deleted jobs it does sweep, also after the one who deleted them has died in the middle.
    assert_eq!(one.client().send("DELETE", &format!("/v1/jobs/{id}"), &[], None).status, 204);
    fs::create_dir_all(artifacts.join(&id)).unwrap();
    fs::write(artifacts.join(&id).join("left"), "x").unwrap();
    let _sweeper = one.worker(&[]);
    eventually("it is swept", Duration::from_secs(10), || !artifacts.join(&id).exists());
}

/// Numbers that are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> usize {
        // Marsaglia's xorshift.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % sides).unwrap()
    }
}

#[test]
fn chaos() {
    const JOBS: usize = 200;
    let postgres = Postgres::start();
    let mut cluster = Cluster::start(postgres.url());
    let model = in_shards(cluster.folder.path(), 4, 512);
    let vit = int8(&fixture("vit.safetensors"));
    let weights = json!({"dtype": "int8"});
    let static_ptq = json!({"model": {"uri": uri(&fixture("convnet.onnx"))},
        "calibration": {"uri": uri(&fixture("calibration.npz"))},
        "quantize": {"backend": "modelopt", "layers": [{"module_name": "*", "weights": weights, "activations": weights}]}});
    let mut workers: Vec<Process> = (0..4).map(|_| cluster.worker(&["--fan-out-mib", "1"])).collect();
    let ids: Vec<String> = (0..JOBS)
        .map(|n| {
            let mut job = match n % 10 {
                0 => static_ptq.clone(),
                1 | 2 => int8(&model),
                _ => vit.clone(),
            };
            job["max_attempts"] = json!(if n % 2 == 0 { 3 } else { 20 });
            cluster.client().submit(&job)
        })
        .collect();

    let began = Instant::now();
    let (mut dice, mut killed, mut restarted, mut paused) = (Dice(0x9e37_79b9_7f4a_7c15), 0, false, None);
    let ended = |client: &Client| {
        let text = String::from_utf8(client.get("/metrics").2).unwrap_or_default();
        let count = |status: &str| -> usize {
            let series = format!("ptqd_jobs{{status=\"{status}\"}} ");
            text.lines().find_map(|line| line.strip_prefix(&series)).map_or(0, |n| n.parse().unwrap())
        };
        ["succeeded", "failed", "cancelled", "timed_out"].map(count).iter().sum::<usize>()
    };
    loop {
        std::thread::sleep(Duration::from_millis(400));
        let done = ended(cluster.client());
        if done >= JOBS {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(180), "{done} of {JOBS} jobs have ended");
        if !restarted && done > JOBS / 4 {
            postgres.control("restart -m immediate");
            restarted = true;
            continue;
        }
        if paused.is_none() && done > JOBS / 8 {
            // Paused past its lease, most likely in the middle of a task.
            workers[0].signal("STOP");
            paused = Some(Instant::now());
        }
        if paused.is_some_and(|at| at.elapsed() > Duration::from_secs(7)) {
            workers[0].signal("CONT");
        }
        // The first is the one that is paused.
        let victim = 1 + dice.roll(3);
        workers[victim].child.kill().unwrap();
        workers[victim].child.wait().unwrap();
        workers[victim] = cluster.worker(&["--fan-out-mib", "1"]);
        killed += 1;
    }
    assert!(restarted && paused.is_some() && killed >= 10, "{restarted} {paused:?} {killed}");
    eprintln!("chaos: {killed} workers killed, {JOBS} jobs ended in {:?}", began.elapsed());
    workers[0].signal("CONT");
    // Whoever holds on to something lets go, and what the dead left is swept by the next one that starts.
    std::thread::sleep(Duration::from_secs(4));
    for worker in workers.drain(..) {
        worker.signal("TERM");
        let mut worker = worker;
        assert!(worker.child.wait().unwrap().success());
    }
    let sweeper = cluster.worker(&[]);

    let mut outcomes: BTreeMap<String, usize> = BTreeMap::new();
    let mut referenced = Vec::new();
    for id in &ids {
        let job = cluster.client().json(&format!("/v1/jobs/{id}"));
        let status = job["status"].as_str().unwrap().to_owned();
        let events = cluster.client().json(&format!("/v1/jobs/{id}/events?after=0"));
        let events = events["events"].as_array().unwrap();
        let seqs: Vec<i64> = events.iter().map(|event| event["seq"].as_i64().unwrap()).collect();
        assert_eq!(seqs, (1..=seqs.len() as i64).collect::<Vec<_>>(), "{id}");
        let endings = events.iter().filter(|event| {
            event["type"] == "job.status_changed"
                && ["succeeded", "failed"].contains(&event["data"]["status"].as_str().unwrap())
        });
        assert_eq!(endings.count(), 1, "{id} ended once: {events:#?}");
        assert_eq!(events.last().unwrap()["data"]["status"], json!(status), "{id}: nothing follows the end");
        match status.as_str() {
            "succeeded" => {
                let folder = files(cluster.client(), &job, &cluster.folder.path().join("downloads"));
                let manifest: Value = serde_json::from_slice(&fs::read(folder.join("manifest.json")).unwrap()).unwrap();
                for file in manifest["files"].as_array().unwrap() {
                    let size = fs::metadata(folder.join(file["name"].as_str().unwrap())).unwrap().len();
                    assert_eq!(json!(size), file["size"], "{id}: {file}");
                }
                referenced.push((id.clone(), job["result"]["artifacts"].as_array().unwrap().len()));
                fs::remove_dir_all(folder).unwrap();
            }
            // The one thing that can go wrong here is losing each of a few workers.
            "failed" => assert_eq!(job["error"]["code"], "worker_lost", "{job:#}"),
            other => panic!("{id} ended {other}"),
        }
        *outcomes.entry(status).or_default() += 1;
    }
    eprintln!("chaos: {outcomes:?}");
    assert!(outcomes["succeeded"] * 10 >= JOBS * 9, "{outcomes:?}");
    // Nothing is in the store but what jobs refer to: no half of a publication, and none of a worker that was fenced off.
    let store = cluster.folder.path().join("artifacts");
    let count = |folder: &Path| walk(folder).len();
    eventually("the store holds what jobs refer to", Duration::from_secs(30), || {
        let kept: usize = referenced.iter().map(|(_, files)| files).sum();
        let found = count(&store);
        if found != kept {
            eprintln!("{found} files, {kept} referred to");
        }
        found == kept
    });
    for (id, files) in &referenced {
        assert_eq!(count(&store.join(id)), *files, "{id}");
    }
    drop(sweeper);
}

/// Every file below a folder.
fn walk(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}
