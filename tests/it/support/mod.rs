//! What tests share: fixtures, a running server, a client, the reference tools.

mod golden;
mod python;
mod server;

use std::path::{Path, PathBuf};

pub use golden::Golden;
pub use python::python;
pub use server::{Client, Server};

/// A file of `tests/fixtures`.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// The `file://` URI of a path.
pub fn uri(path: &Path) -> String {
    ptqd::storage::Sources::file_uri(path).expect("an absolute path")
}

/// A variable that `make test` sets.
pub fn needed(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| panic!("{variable} is not set: run the tests with `make test`"))
}
