//! From arguments to the job that the pipeline runs.

use std::error::Error;

use serde_json::Value;

use super::{args::QuantizeArgs, inputs::Inputs};
use crate::{
    control::Canceller,
    engine::EngineConfig,
    job::{AdmittedJob, DataRef, InputFiles, JobRequest, JobSpec, Machine},
    pipeline::LocalJob,
    spec::{Parsed, find_section, parse},
    storage::Want,
};

/// The job that the arguments and the file of rules ask for.
pub(super) fn request(args: &QuantizeArgs, document: &Value) -> JobRequest {
    let (section, pointer) = find_section(document);
    let Parsed { spec: rules, objections, warnings } = parse(section, pointer);
    let data = |uri: &String| DataRef {
        uri: uri.clone(),
        labels: None,
        max_samples: None,
        batch_size: Some(args.batch_size),
        preprocess: args.preprocess.clone(),
        mask_input: None,
    };
    let calibration = |uri| DataRef { max_samples: args.max_samples, mask_input: args.mask_input.clone(), ..data(uri) };
    let evaluation = |uri| DataRef { labels: args.labels.clone(), ..data(uri) };
    let spec = JobSpec {
        calibration: args.calibration.as_ref().map(calibration),
        evaluation: args.evaluation.as_ref().map(evaluation),
        ..JobSpec::new(&args.model, section.clone())
    };
    JobRequest { spec, rules, objections, warnings }
}

/// The job, its inputs brought here.
pub(super) fn local_job(
    args: &QuantizeArgs,
    job: AdmittedJob,
    inputs: &mut Inputs,
    canceller: &Canceller,
) -> Result<LocalJob, Box<dyn Error>> {
    let engine = args.compute.engine()?;
    let want = if args.plan_only { Want::Plan } else { Want::Model };
    let model = inputs.bring("model", &args.model, want, canceller)?;
    let mut data = |role, given: &Option<String>| {
        given.as_ref().map(|given| inputs.bring(role, given, Want::Data, canceller)).transpose()
    };
    let (calibration, evaluation) = (data("calibration", &args.calibration)?, data("evaluation", &args.evaluation)?);
    let files =
        InputFiles { model, calibration, evaluation, origins: inputs.origins.clone(), digests: inputs.digests.clone() };
    let machine = Machine {
        engine: EngineConfig { canceller: canceller.clone(), ..engine },
        memory: args.compute.memory(),
        statistics: None,
        digests: args.digests,
    };
    Ok(job.local(files, machine))
}
