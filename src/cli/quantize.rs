//! `ptqd quantize`: the pipeline without a server.

use std::{
    error::Error,
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::{
    inputs::{Inputs, NotBrought},
    print, say, table,
    watch::Watcher,
};
use crate::{
    backend,
    config::ComputeConfig,
    control::{Canceller, Control, Notice},
    dataset::Preprocess,
    engine::EngineConfig,
    fault::{Fault, FaultKind, chain},
    job::{AdmittedJob, DEFAULT_BATCH, DataRef, InputFiles, JobRequest, JobSpec, Machine, read_preprocess},
    pipeline::{self, LocalJob, PipelineError, Purpose},
    spec::{Objection, Parsed, Reader, find_section, parse, parse_text},
    storage::Want,
};

#[derive(Args, Debug)]
pub(super) struct QuantizeArgs {
    /// The model: a path or a URI (s3, gs, az, https, hf, file) of an ONNX file, a safetensors file, an index of shards, or
    /// a folder.
    #[arg(long, value_name = "PATH|URI")]
    model: String,

    /// The rules: YAML or JSON, a `quantize` section or an experiment spec that has one.
    #[arg(long, value_name = "FILE")]
    spec: PathBuf,

    /// Calibration data: .npz, .npy or .safetensors with samples on axis 0, a folder of them, a folder of images, or the
    /// calibration.json of an earlier job.
    #[arg(long, value_name = "PATH|URI")]
    calibration: Option<String>,

    /// Evaluation data, in the same form.
    #[arg(long, value_name = "PATH|URI")]
    evaluation: Option<String>,

    /// How images become samples, as JSON: {"resize": 256, "crop": 224, "scale": 0.00392, "mean": [...], "std": [...],
    /// "layout": "NCHW", "color": "RGB"}.
    #[arg(long, value_name = "JSON", value_parser = preprocess)]
    preprocess: Option<Preprocess>,

    /// The name of the array of labels in the evaluation data; `class` where the images of each class have a folder.
    #[arg(long, value_name = "NAME", requires = "evaluation")]
    labels: Option<String>,

    /// The most calibration samples to use.
    #[arg(long, value_name = "N")]
    max_samples: Option<u32>,

    /// Samples per forward pass, where the model leaves it open.
    #[arg(long, value_name = "N", default_value_t = DEFAULT_BATCH)]
    batch_size: u32,

    /// Only print the plan, as JSON.
    #[arg(long)]
    plan_only: bool,

    /// Write the SHA-256 of every file, in and out, to the manifest, as the service does; for a large checkpoint they
    /// take longer than the rest.
    #[arg(long)]
    digests: bool,

    /// The model hub of hf:// URIs. A token for it is taken from the variable HF_TOKEN.
    #[arg(long, env = "HF_ENDPOINT", value_name = "URL", default_value = "https://huggingface.co")]
    hub_endpoint: String,

    /// The folder for the result; created, and may not hold anything but what an interrupted run of the same command
    /// left, which is resumed.
    #[arg(long, value_name = "DIR", required_unless_present = "plan_only")]
    out: Option<PathBuf>,

    #[command(flatten)]
    compute: ComputeConfig,
}

const INVALID: u8 = 2;

pub(super) fn run(args: &QuantizeArgs) -> Result<ExitCode, Box<dyn Error>> {
    let text = fs::read_to_string(&args.spec)
        .map_err(|e| io::Error::new(e.kind(), format!("cannot read {}: {e}", args.spec.display())))?;
    let document = match parse_text(&text) {
        Ok(document) => document,
        Err(objection) => return Ok(refuse(&[objection])),
    };
    let purpose = if args.plan_only { Purpose::Look } else { Purpose::Run };
    let admitted = match request(args, &document).admit(purpose, |_, _| None) {
        Ok(admitted) => admitted,
        Err(objections) => return Ok(refuse(&objections)),
    };
    let canceller = Canceller::default();
    let _listener = listen_for_interrupt(canceller.clone());
    // They live as long as the job.
    let mut inputs = Inputs::new(&args.hub_endpoint);
    let job = match local_job(args, admitted, &mut inputs, &canceller) {
        Ok(job) => job,
        Err(error) => match error.downcast::<NotBrought>() {
            Ok(error) => return Ok(tell(&error.0)),
            Err(error) => return Err(error),
        },
    };
    let result = if args.plan_only { plan(&job) } else { quantize(args, &job, &canceller) };
    match result {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(PipelineError::Objections(objections)) => Ok(refuse(&objections)),
        Err(error) => Ok(tell(&error)),
    }
}

/// Says what went wrong, and whose fault it is.
fn tell(error: &(impl Fault + 'static)) -> ExitCode {
    say(&format!("error: {} [{}]", chain(error), error.code()));
    if let Some(hint) = error.hint() {
        say(&format!("  hint: {hint}"));
    }
    if error.kind() == FaultKind::Invalid { ExitCode::from(INVALID) } else { ExitCode::FAILURE }
}

/// The job that the arguments and the file of rules ask for.
fn request(args: &QuantizeArgs, document: &Value) -> JobRequest {
    let (section, pointer) = find_section(document);
    let Parsed { spec: rules, objections, warnings } = parse(section, pointer);
    let data = |uri: &String, labels, max_samples| DataRef {
        uri: uri.clone(),
        labels,
        max_samples,
        batch_size: Some(args.batch_size),
        preprocess: args.preprocess.clone(),
    };
    let spec = JobSpec {
        calibration: args.calibration.as_ref().map(|uri| data(uri, None, args.max_samples)),
        evaluation: args.evaluation.as_ref().map(|uri| data(uri, args.labels.clone(), None)),
        ..JobSpec::new(&args.model, section.clone())
    };
    JobRequest { spec, rules, objections, warnings }
}

/// The job, its inputs brought here.
fn local_job(
    args: &QuantizeArgs,
    job: AdmittedJob,
    inputs: &mut Inputs,
    canceller: &Canceller,
) -> Result<LocalJob, Box<dyn Error>> {
    let want = if args.plan_only { Want::Plan } else { Want::Model };
    let model = inputs.bring("model", &args.model, want, canceller)?;
    let mut data = |role, given: &Option<String>| {
        given.as_ref().map(|given| inputs.bring(role, given, Want::Data, canceller)).transpose()
    };
    let (calibration, evaluation) = (data("calibration", &args.calibration)?, data("evaluation", &args.evaluation)?);
    let files = InputFiles { model, calibration, evaluation, origins: inputs.origins.clone(), ..InputFiles::default() };
    let machine = Machine {
        engine: EngineConfig { canceller: canceller.clone(), ..args.compute.engine() },
        memory: args.compute.memory(),
        statistics: None,
        digests: args.digests,
    };
    Ok(job.local(files, machine))
}

fn plan(job: &LocalJob) -> Result<(), PipelineError> {
    let planned = pipeline::plan(job, Purpose::Look)?;
    let text = json!({"effective_config": planned.effective_config(), "plan": planned.plan(),
        "warnings": planned.warnings()});
    print(&format!("{text:#}"));
    Ok(())
}

fn quantize(args: &QuantizeArgs, job: &LocalJob, canceller: &Canceller) -> Result<(), PipelineError> {
    let out = args.out.clone().unwrap_or_default();
    prepare(&out).map_err(|source| PipelineError::Write { path: out.clone(), source })?;
    let watcher = Watcher::new();
    let notify = |notice: Notice| watcher.show(&notice);
    let result = pipeline::run(job, &out, &Control::new(&notify, canceller));
    watcher.finish();
    let finished = result?;
    print(&table::table(&json!(finished.report)));
    for artifact in &finished.artifacts {
        print(&format!("  {}", out.join(&artifact.name).display()));
    }
    Ok(())
}

/// Cancels on SIGINT, so that the pipeline ends at its next checkpoint. Ends when the result is dropped.
fn listen_for_interrupt(canceller: Canceller) -> oneshot::Sender<()> {
    let (done, ended) = oneshot::channel();
    std::thread::spawn(move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        runtime.block_on(async {
            tokio::select! {
                Ok(()) = tokio::signal::ctrl_c() => canceller.cancel(),
                _ = ended => {}
            }
        });
    });
    done
}

/// Makes the folder. One that holds something is refused: a result is not mixed with what was there. One that an
/// interrupted run left is taken up again.
fn prepare(out: &Path) -> io::Result<()> {
    fs::create_dir_all(out)?;
    if fs::read_dir(out)?.next().is_some() && !out.join(backend::JOURNAL).is_dir() {
        return Err(io::Error::new(io::ErrorKind::DirectoryNotEmpty, "the folder is not empty"));
    }
    Ok(())
}

/// Reads `--preprocess`.
fn preprocess(text: &str) -> Result<Preprocess, String> {
    let json: Value = serde_json::from_str(text).map_err(|e| format!("not JSON: {e}"))?;
    let mut reader = Reader::default();
    let preprocess = reader.object(&json, "").map(|object| read_preprocess(&mut reader, &object));
    match (reader.objections.first(), preprocess) {
        (None, Some(preprocess)) => Ok(preprocess),
        (first, _) => {
            let told = |o: &Objection| format!("{}: {}", o.pointer.trim_start_matches('/'), o.message);
            Err(first.map(told).unwrap_or_default().trim_start_matches(": ").to_owned())
        }
    }
}

fn refuse(objections: &[Objection]) -> ExitCode {
    for objection in objections {
        let at = if objection.pointer.is_empty() { "(document)" } else { &objection.pointer };
        say(&format!("error: {at}: {} [{}]", objection.message, objection.code.name()));
        if let Some(hint) = &objection.hint {
            say(&format!("  hint: {hint}"));
        }
        if !objection.allowed.is_empty() {
            say(&format!("  accepted: {}", objection.allowed.join(", ")));
        }
    }
    ExitCode::from(INVALID)
}
