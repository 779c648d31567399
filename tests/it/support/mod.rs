//! What tests share: fixtures, a running server, a client, the reference tools.

mod browser;
mod checkpoints;
mod cloud;
mod golden;
mod jobs;
mod local;
mod process;
mod proxy;
mod python;
mod quantize;
mod repeated;
mod server;

use std::path::{Path, PathBuf};

pub use browser::Browser;
pub use checkpoints::{in_shards, lasting, sharded, values, write_bf16};
pub use cloud::{Cloud, serve_router};
pub use golden::Golden;
pub use jobs::{ended_in_the_middle, endless_job, long_job, wait_for_phase};
pub use local::{data, local_job, run_local};
pub use process::{Postgres, Process, eventually, key, program, schema, serve, start_server, work};
pub use proxy::{Line, OVERLOADED, Proxy};
pub use python::python;
pub use quantize::{Decode, quantize};
pub use repeated::repeated;
pub use server::{Answer, Client, Server};

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

/// The bytes of a .npz with one stored (not compressed) f32 array.
pub fn npz(name: &str, dims: &[usize], values: &[f32]) -> Vec<u8> {
    use std::io::Write;
    let shape: Vec<String> = dims.iter().map(|d| format!("{d},")).collect();
    let mut header =
        format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}), }}", shape.concat()).into_bytes();
    header.resize((header.len() + 11).next_multiple_of(64) - 11, b' ');
    header.push(b'\n');
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    archive.start_file(format!("{name}.npy"), stored).unwrap();
    archive.write_all(b"\x93NUMPY\x01\x00").unwrap();
    archive.write_all(&(header.len() as u16).to_le_bytes()).unwrap();
    archive.write_all(&header).unwrap();
    archive.write_all(&values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>()).unwrap();
    archive.finish().unwrap().into_inner()
}
