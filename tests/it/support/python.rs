//! The reference tools, which are written in Python.

use std::{path::Path, process::Command};

use serde_json::Value;

use super::needed;

/// Runs a script of `tests/tools` and returns the JSON it prints.
pub fn python(script: &str, arguments: &[&Path]) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tools").join(script);
    let output = Command::new(needed("PTQD_TEST_PYTHON")).arg(&script).args(arguments).output().expect("Python starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{} failed:\n{stderr}", script.display());
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{}: {e}\n{stderr}", script.display()))
}
