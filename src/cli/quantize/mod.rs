//! `ptqd quantize`: the pipeline without a server.

mod args;
mod inputs;
mod job;
mod stream;
mod tell;

use std::{error::Error, fs, io, path::Path, process::ExitCode};

use serde_json::json;
use tokio::sync::oneshot;

pub(super) use self::args::QuantizeArgs;
use self::{
    inputs::{Inputs, NotBrought},
    job::{local_job, request},
    stream::run_streamed,
    tell::{refuse, tell, warn},
};
use super::{print, table, watch::Watcher};
use crate::{
    backend,
    control::{Canceller, Control, Notice},
    pipeline::{self, LocalJob, PipelineError, Purpose},
    spec::parse_text,
    storage::RemoteShards,
};

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
    let result = if args.plan_only { plan(&job) } else { quantize(args, &job, inputs.shards.take(), &canceller) };
    match result {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(PipelineError::Objections(objections)) => Ok(refuse(&objections)),
        Err(error) => Ok(tell(&error)),
    }
}

fn plan(job: &LocalJob) -> Result<(), PipelineError> {
    let planned = pipeline::plan(job, Purpose::Look)?;
    let text = json!({"effective_config": planned.effective_config(), "plan": planned.plan(),
        "warnings": planned.warnings()});
    print(&format!("{text:#}"));
    warn(planned.warnings());
    Ok(())
}

fn quantize(
    args: &QuantizeArgs,
    job: &LocalJob,
    shards: Option<RemoteShards>,
    canceller: &Canceller,
) -> Result<(), PipelineError> {
    let out = args.out.clone().unwrap_or_default();
    prepare(&out).map_err(|source| PipelineError::Write { path: out.clone(), source })?;
    let watcher = Watcher::new();
    let notify = |notice: Notice| watcher.show(&notice);
    let control = Control::new(&notify, canceller);
    let result = match shards {
        Some(shards) => run_streamed(job, shards, &out, &control, canceller),
        None => pipeline::run(job, &out, &control),
    };
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
