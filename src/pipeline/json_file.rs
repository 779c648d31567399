//! JSON files of the output folder.

use std::{fs, path::Path};

use serde::Serialize;

use super::PipelineError;

/// Writes a value for people to read. The file's name.
pub(super) fn write_json(out: &Path, name: &str, value: &impl Serialize) -> Result<String, PipelineError> {
    let path = out.join(name);
    let text = serde_json::to_string_pretty(value).map_err(std::io::Error::other);
    text.and_then(|text| fs::write(&path, text + "\n")).map_err(|source| PipelineError::Write { path, source })?;
    Ok(name.to_owned())
}
