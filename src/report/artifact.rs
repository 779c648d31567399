//! [`Artifact`]: a file of the result, as manifests and jobs list it.

use serde::{Deserialize, Serialize};

/// A file of the result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// Its name, relative to the job's folder.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its SHA-256 in hexadecimal; null where digests were not asked for, as the command line does not by default.
    pub sha256: Option<String>,
    /// Its media type, by the ending of its name.
    pub media_type: String,
}

/// The media type of a file with this name.
pub fn media_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("json") => "application/json",
        Some("txt") => "text/plain",
        _ => "application/octet-stream",
    }
}
