//! `ptqd demo`: the main job, end to end, over HTTP.

use std::{
    error::Error,
    fs,
    io::{BufRead, BufReader, IsTerminal},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use serde_json::{Value, json};

use super::{block_on, print, say, table};
use crate::{
    app::App,
    config::{AccessConfig, ComputeConfig, HttpConfig, RetentionConfig, ServeConfig, StorageConfig, WorkerConfig},
    storage::Sources,
};

/// Trained by tests/fixtures/train.py; part of the program so that the demo needs nothing else.
const FILES: [(&str, &[u8]); 4] = [
    ("convnet.onnx", include_bytes!("../../tests/fixtures/convnet.onnx")),
    ("vit.safetensors", include_bytes!("../../tests/fixtures/vit.safetensors")),
    ("calibration.npz", include_bytes!("../../tests/fixtures/calibration.npz")),
    ("evaluation.npz", include_bytes!("../../tests/fixtures/evaluation.npz")),
];

#[derive(Args, Debug)]
pub(super) struct DemoArgs {
    /// The folder for inputs and results; a fresh temporary one without it. It is kept.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    #[command(flatten)]
    compute: ComputeConfig,
}

pub(super) fn run(args: &DemoArgs) -> Result<ExitCode, Box<dyn Error>> {
    let folder = match &args.out {
        Some(folder) => folder.clone(),
        None => tempfile::Builder::new().prefix("ptqd-demo-").tempdir()?.keep(),
    };
    fs::create_dir_all(&folder)?;
    let folder = folder.canonicalize()?;
    for (name, bytes) in FILES {
        fs::write(folder.join(name), bytes)?;
    }
    let config = ServeConfig {
        listen: ([127, 0, 0, 1], 0).into(),
        workers: 1,
        max_upload_mib: 1024,
        http: HttpConfig::default(),
        access: AccessConfig::default(),
        worker: WorkerConfig {
            lease_seconds: 30,
            poll_milliseconds: 500,
            tenant_limit: None,
            default_timeout_seconds: WorkerConfig::DEFAULT_TIMEOUT_SECONDS,
            fan_out_mib: 1024,
            retention: RetentionConfig::default(),
            compute: args.compute.clone(),
            storage: StorageConfig::embedded(folder.join("data")),
        },
    };
    block_on(async {
        let app = App::serve(&config).await?;
        let url = format!("http://{}", app.address);
        say(&format!("ptqd: a server runs at {url}, its data is in {}", folder.join("data").display()));
        let client = tokio::task::spawn_blocking(move || submit_all(&url, &folder).map_err(|e| e.to_string()));
        let result = client.await;
        app.shut_down().await;
        result??;
        Ok::<_, Box<dyn Error>>(ExitCode::SUCCESS)
    })?
}

fn submit_all(url: &str, folder: &Path) -> Result<(), Box<dyn Error>> {
    let uri = |name: &str| Sources::file_uri(&folder.join(name)).unwrap_or_default();
    let int8 = json!({"dtype": "int8"});
    let jobs = [
        (
            "Static PTQ: a convolutional net for handwritten digits, int8 weights and activations (ONNX)",
            json!({"name": "digits-convnet-int8",
                "model": {"uri": uri("convnet.onnx")},
                "calibration": {"uri": uri("calibration.npz")},
                "evaluation": {"uri": uri("evaluation.npz"), "labels": "y"},
                "quantize": {"backend": "modelopt", "mode": "static_ptq", "algorithm": "minmax",
                    "layers": [{"module_name": "*", "weights": int8, "activations": int8}]},
                "quality_gate": {"max_accuracy_drop": 0.005}}),
        ),
        (
            "Weight-only PTQ: a small vision transformer's checkpoint, int8 weights per row (safetensors)",
            json!({"name": "digits-vit-int8",
                "model": {"uri": uri("vit.safetensors")},
                "quantize": {"backend": "torchao", "mode": "weight_only_ptq",
                    "layers": [{"module_name": "Linear", "weights": int8}]}}),
        ),
    ];
    for (title, body) in jobs {
        print(&format!("\n{title}"));
        let id = submit(url, &body)?;
        follow(url, &id)?;
        let job: Value = get(&format!("{url}/v1/jobs/{id}"))?;
        if job["status"] != "succeeded" {
            return Err(format!("the job ended {}: {:#}", job["status"], job["error"]).into());
        }
        let report: Value = get(&format!("{url}/v1/jobs/{id}/report"))?;
        print(&table::table(&report));
        download(url, &job, &folder.join(body["name"].as_str().unwrap_or("result")))?;
        print("  the same with curl:");
        print(&format!("    curl -s {url}/v1/jobs -H 'content-type: application/json' -d '{body}'"));
        print(&format!("    curl -N {url}/v1/jobs/{id}/events"));
        print(&format!("    curl -s {url}/v1/jobs/{id}/report"));
        print(&format!(
            "    curl -sO {url}/v1/jobs/{id}/artifacts/{}",
            job["result"]["artifacts"][0]["name"].as_str().unwrap_or("")
        ));
    }
    print(&format!("\nEverything is in {}", folder.display()));
    print("The server of this demo has ended; `ptqd serve` starts one for the curl lines, on port 8080.");
    Ok(())
}

fn submit(url: &str, body: &Value) -> Result<String, Box<dyn Error>> {
    let mut response =
        ureq::post(format!("{url}/v1/jobs")).config().http_status_as_error(false).build().send_json(body)?;
    let answer: Value = response.body_mut().read_json()?;
    match answer["id"].as_str() {
        Some(id) => Ok(id.to_owned()),
        None => Err(format!("the server refused the job: {answer:#}").into()),
    }
}

fn get(url: &str) -> Result<Value, Box<dyn Error>> {
    Ok(ureq::get(url).call()?.body_mut().read_json()?)
}

/// Reads the job's events to their end and shows the phases.
fn follow(url: &str, id: &str) -> Result<(), Box<dyn Error>> {
    let response = ureq::get(format!("{url}/v1/jobs/{id}/events")).header("accept", "text/event-stream").call()?;
    let lines = BufReader::new(response.into_body().into_reader()).lines();
    let terminal = std::io::stdout().is_terminal();
    for line in lines {
        let Some(event) = line?.strip_prefix("data:").and_then(|text| serde_json::from_str::<Value>(text).ok()) else {
            continue;
        };
        let data = &event["data"];
        let shown = match event["type"].as_str().unwrap_or_default() {
            "job.status_changed" => format!("status {}", data["status"].as_str().unwrap_or_default()),
            "job.progress" => format!(
                "{} {}/{} {}",
                data["phase"].as_str().unwrap_or_default(),
                data["units_done"],
                data["units_total"],
                data["unit"].as_str().unwrap_or_default()
            ),
            _ => continue,
        };
        print(&if terminal {
            format!("  \x1b[2mevent {}: {shown}\x1b[0m", event["seq"])
        } else {
            format!("  event {}: {shown}", event["seq"])
        });
    }
    Ok(())
}

/// Downloads every artifact and says where it is.
fn download(url: &str, job: &Value, folder: &Path) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(folder)?;
    let artifacts = job["result"]["artifacts"].as_array().into_iter().flatten();
    let mut names = Vec::new();
    for artifact in artifacts {
        let (Some(href), Some(name)) = (artifact["href"].as_str(), artifact["name"].as_str()) else { continue };
        let mut response = ureq::get(format!("{url}{href}")).call()?;
        let mut file = fs::File::create(folder.join(name))?;
        std::io::copy(&mut response.body_mut().as_reader(), &mut file)?;
        names.push(name.to_owned());
    }
    print(&format!("  files          {}: {}", folder.display(), names.join(", ")));
    Ok(())
}
