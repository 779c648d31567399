//! [`LocalJob`]: what goes in, and [`Finished`]: what comes out.

use std::{collections::BTreeMap, path::PathBuf};

use crate::{
    backend::RunInputs,
    report::{Artifact, QualityGate, Report},
    spec::{QuantizeSpec, Warning},
};

/// A job whose inputs lie on the local disk.
#[derive(Debug)]
pub struct LocalJob {
    /// The rules of the job, parsed.
    pub spec: QuantizeSpec,
    /// Warnings from parsing the rules.
    pub warnings: Vec<Warning>,
    /// The model's file or folder.
    pub model: PathBuf,
    /// What a run needs besides model and rules: data, engine, memory.
    pub inputs: RunInputs,
    /// What the result should reach.
    pub quality_gate: QualityGate,
    /// Whether the manifest has the SHA-256 of every file, in and out. For a large model that takes longer than the rest.
    pub digests: bool,
    /// Where the inputs were brought from, by role, for the manifest; nothing of those that were here.
    pub origins: BTreeMap<&'static str, String>,
}

/// What a finished job leaves in its folder.
#[derive(Debug)]
pub struct Finished {
    /// The report, also in `report.json`.
    pub report: Report,
    /// All files, the manifest last.
    pub artifacts: Vec<Artifact>,
}
