//! `manifest.json`: what went in, what came out, with digests. Written last.

use std::{fs, io, iter, path::Path};

use rayon::prelude::*;
use serde_json::{Value, json};

use super::{LocalJob, PipelineError, PlannedJob, ShardDone, json_file::write_json};
use crate::{
    control::{Cancelled, Control},
    digest::{sha256_file, sha256_hex},
    model,
    report::{Artifact, Report, media_type},
    spec::Decision,
};

/// Writes the manifest and returns every file with it, the manifest last. Of the files, some lie elsewhere.
pub(super) fn write(
    job: &LocalJob,
    planned: &PlannedJob<'_>,
    report: &Report,
    (files, elsewhere): (Vec<String>, &[ShardDone]),
    out: &Path,
    control: &Control<'_>,
) -> Result<Vec<Artifact>, PipelineError> {
    let one = |name: String| match elsewhere.iter().find(|done| done.artifact.name == name) {
        Some(done) => Ok(done.artifact.clone()),
        None => artifact(out, name, job.digests, control),
    };
    let mut artifacts: Vec<Artifact> = files.into_par_iter().map(one).collect::<Result<_, _>>()?;
    let config = planned.effective_config();
    let layers = report.layers.iter().filter(|layer| layer.decision == Decision::Quantize);
    let tensors: Vec<Value> = layers
        .filter_map(|layer| layer.weights.as_ref())
        .map(|w| {
            json!({"tensor": w.tensor, "dtype": w.dtype, "granularity": w.granularity, "scale_rule": w.scale_rule,
                   "quotient": w.quotient})
        })
        .collect();
    let manifest = json!({
        "ptqd_version": report.environment.ptqd_version,
        "onnxruntime": report.environment.onnxruntime,
        "inputs": report.inputs,
        "origins": job.origins,
        "effective_config_sha256": sha256_hex(config.to_string().as_bytes()),
        "effective_config": config,
        "policies": report.policies,
        "tensors": tensors,
        "files": artifacts,
    });
    let name = write_json(out, "manifest.json", &manifest)?;
    artifacts.push(artifact(out, name, job.digests, control)?);
    Ok(artifacts)
}

/// The files that go in, by role: name, size and, where it is asked for, digest. Of a model, those that it refers to as
/// well. Shards that were done elsewhere were read there.
pub(super) fn inputs(job: &LocalJob, elsewhere: &[ShardDone], control: &Control<'_>) -> Result<Value, PipelineError> {
    let one =
        |file: &Path| match elsewhere.iter().find(|done| file.file_name().is_some_and(|n| n == &*done.part.source)) {
            Some(done) => Ok(done.input.clone()),
            None => input(job, file, job.inputs.digests.get(file).cloned(), control),
        };
    let listed = |path: &Path, more: Vec<String>| listed(path, more, one);
    let data = [
        ("calibration", job.inputs.calibration.as_ref().map(|source| &source.path)),
        ("evaluation", job.inputs.evaluation.as_ref().map(|evaluation| &evaluation.data.path)),
    ];
    let companions = if job.model.is_dir() { Vec::new() } else { model::companions(&job.model).unwrap_or_default() };
    let mut inputs = json!({"model": listed(&job.model, companions)?});
    for (name, path) in data {
        inputs[name] = path.map(|path| listed(path, Vec::new())).transpose()?.unwrap_or(Value::Null);
    }
    Ok(inputs)
}

/// Name, size and digest of a file of the output folder.
pub(super) fn artifact(
    out: &Path,
    name: String,
    wanted: bool,
    control: &Control<'_>,
) -> Result<Artifact, PipelineError> {
    let (size, sha256) = sized(&out.join(&name), wanted, control)?;
    Ok(Artifact { media_type: media_type(&name).to_owned(), name, size, sha256 })
}

/// Name, size and digest of an input file. `sha256` is what it is known to be; of one that nobody looked at it is computed.
pub(super) fn input(
    job: &LocalJob,
    path: &Path,
    sha256: Option<String>,
    control: &Control<'_>,
) -> Result<Value, PipelineError> {
    let (size, computed) = sized(path, job.digests && sha256.is_none(), control)?;
    let sha256 = sha256.filter(|_| job.digests).or(computed);
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    Ok(json!({"name": name, "size": size, "sha256": sha256}))
}

/// A file and some beside it, or each file of a folder, sorted by name.
fn listed(
    path: &Path,
    beside: Vec<String>,
    one: impl Fn(&Path) -> Result<Value, PipelineError> + Sync,
) -> Result<Value, PipelineError> {
    if !path.is_dir() {
        let folder = path.parent().unwrap_or(Path::new(""));
        let files: Vec<_> = iter::once(path.to_owned()).chain(beside.iter().map(|name| folder.join(name))).collect();
        return Ok(Value::Array(files.par_iter().map(|file| one(file)).collect::<Result<_, _>>()?));
    }
    let read = |source| PipelineError::Read { path: path.to_owned(), source };
    let entries: io::Result<Vec<_>> = fs::read_dir(path).map_err(read)?.collect();
    let files = entries.map_err(read)?.into_iter().map(|entry| entry.path()).filter(|path| path.is_file());
    let mut files: Vec<_> = files.collect();
    files.sort();
    Ok(Value::Array(files.par_iter().map(|file| one(file)).collect::<Result<_, _>>()?))
}

fn sized(path: &Path, wanted: bool, control: &Control<'_>) -> Result<(u64, Option<String>), PipelineError> {
    let read = |source| PipelineError::Read { path: path.to_owned(), source };
    if !wanted {
        return Ok((fs::metadata(path).map_err(read)?.len(), None));
    }
    match sha256_file(path, || control.checkpoint().is_ok()).map_err(read)? {
        Some((size, sha256)) => Ok((size, Some(sha256))),
        None => Err(Cancelled.into()),
    }
}
