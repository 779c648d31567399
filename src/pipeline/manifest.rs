//! `manifest.json`: what went in, what came out, with digests. Written last.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
};

use rayon::prelude::*;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{LocalJob, PipelineError, PlannedJob, write_json};
use crate::{
    control::Control,
    report::{Artifact, Report, media_type},
    spec::Decision,
};

/// Writes the manifest and returns every file with it, the manifest last.
pub(super) fn write(
    job: &LocalJob,
    planned: &PlannedJob<'_>,
    report: &Report,
    files: Vec<String>,
    out: &Path,
    control: &Control<'_>,
) -> Result<Vec<Artifact>, PipelineError> {
    let mut artifacts: Vec<Artifact> =
        files.into_par_iter().map(|name| artifact(out, name, job.digests, control)).collect::<Result<_, _>>()?;
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
        "effective_config_sha256": hex(&Sha256::digest(config.to_string().as_bytes())),
        "effective_config": config,
        "policies": report.policies,
        "tensors": tensors,
        "files": artifacts,
    });
    let name = write_json(out, "manifest.json", &manifest)?;
    artifacts.push(artifact(out, name, job.digests, control)?);
    Ok(artifacts)
}

/// The files that go in, by role: name, size and, where it is asked for, digest.
pub(super) fn inputs(job: &LocalJob, control: &Control<'_>) -> Result<Value, PipelineError> {
    let data = [
        ("calibration", job.inputs.calibration.as_ref().map(|source| &source.path)),
        ("evaluation", job.inputs.evaluation.as_ref().map(|evaluation| &evaluation.data.path)),
    ];
    let mut inputs = json!({"model": listed(&job.model, job.digests, control)?});
    for (name, path) in data {
        inputs[name] = path.map(|path| listed(path, job.digests, control)).transpose()?.unwrap_or(Value::Null);
    }
    Ok(inputs)
}

fn artifact(out: &Path, name: String, wanted: bool, control: &Control<'_>) -> Result<Artifact, PipelineError> {
    let (size, sha256) = sized(&out.join(&name), wanted, control)?;
    Ok(Artifact { media_type: media_type(&name).to_owned(), name, size, sha256 })
}

/// Size and digest of a file, or of each file of a folder, sorted by name.
fn listed(path: &Path, wanted: bool, control: &Control<'_>) -> Result<Value, PipelineError> {
    let one = |path: &Path| {
        let (size, sha256) = sized(path, wanted, control)?;
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        Ok::<_, PipelineError>(json!({"name": name, "size": size, "sha256": sha256}))
    };
    if !path.is_dir() {
        return Ok(json!([one(path)?]));
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
    let mut file = File::open(path).map_err(read)?;
    let size = file.metadata().map_err(read)?.len();
    if !wanted {
        return Ok((size, None));
    }
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        control.checkpoint()?;
        match file.read(&mut buffer).map_err(read)? {
            0 => return Ok((size, Some(hex(&hasher.finalize())))),
            n => hasher.update(&buffer[..n]),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
