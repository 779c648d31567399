//! [`Confinement`]: what a child may read, write and take.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::request::{Request, Work};

/// What a child may read, write and take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Confinement {
    /// Files, and folders with what is in them, that it may read.
    pub(super) read: Vec<PathBuf>,
    /// Folders that it may make files in.
    pub(super) write: Vec<PathBuf>,
    /// Bytes of memory beyond what it has at the start.
    pub(super) memory: Option<u64>,
    /// What of it was meant for running the model.
    pub(super) engine_memory: Option<u64>,
    /// Seconds of processor time.
    pub(super) cpu_seconds: Option<u64>,
    /// Bytes of the largest file.
    pub(super) file_bytes: u64,
    /// Whether it is not to run where the kernel does not keep it to all of this.
    pub(super) strict: bool,
}

/// Bytes for stacks of threads, the parsed model and the like, beside what is counted.
const BESIDE: u64 = 256 << 20;
/// A plan runs nothing; it reads a graph, which may be as large as protobuf allows.
const PLAN_MEMORY: u64 = 4 << 30;
/// A result is not larger than twice its model and this.
const FILE_BESIDE: u64 = 256 << 20;
/// How deep folders of inputs are looked through for links.
const DEPTH: usize = 4;

impl Confinement {
    /// What the computation of a request needs. `seconds` is the longest that it may run.
    pub(super) fn of(request: &Request, seconds: Option<u64>, strict: bool) -> Self {
        let files = &request.files;
        let inputs = [Some(&files.model), files.calibration.as_ref(), files.evaluation.as_ref()];
        let mut read: Vec<PathBuf> = inputs.into_iter().flatten().flat_map(|path| readable(path)).collect();
        // It may not have been there when the child was started.
        read.push(request.library.clone());
        read.sort();
        read.dedup();
        let memory = match request.work {
            Work::Plan | Work::Companions | Work::Probe { .. } => Some(PLAN_MEMORY),
            // What it may hold of both, and what is beside.
            _ => request.engine_memory.map(|engine| engine.saturating_add(request.memory).saturating_add(BESIDE)),
        };
        Confinement {
            read,
            write: [request.out.clone()].into_iter().chain(request.statistics.clone()).collect(),
            memory,
            engine_memory: request.engine_memory,
            cpu_seconds: seconds.map(|seconds| seconds.saturating_mul(request.threads.max(1) as u64)),
            file_bytes: size(&files.model, DEPTH).saturating_mul(2).saturating_add(FILE_BESIDE),
            strict,
        }
    }
}

/// What must be readable to read an input: itself, what lies beside a file that may refer to others, and what its links
/// lead to.
fn readable(path: &Path) -> Vec<PathBuf> {
    // A graph names files of tensors beside it, an index names shards.
    let refers = path.extension().is_some_and(|extension| extension == "onnx" || extension == "json");
    let root = if refers { path.parent().unwrap_or(path) } else { path };
    let mut all = vec![root.to_owned(), path.to_owned()];
    links(root, DEPTH, &mut all);
    all
}

/// The files that links in a folder lead to: those who may fill the folder may name them.
fn links(folder: &Path, depth: usize, all: &mut Vec<PathBuf>) {
    const MOST: usize = 10_000;
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        if all.len() >= MOST {
            return;
        }
        if kind.is_symlink() {
            all.extend(entry.path().canonicalize().ok().filter(|target| target.is_file()));
        } else if kind.is_dir() && depth > 0 {
            links(&entry.path(), depth - 1, all);
        }
    }
}

/// The bytes of a file and what lies beside it, or of what is in a folder.
fn size(path: &Path, depth: usize) -> u64 {
    let folder = if path.is_dir() { path } else { path.parent().unwrap_or(path) };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.fold(0, |sum: u64, entry| match fs::metadata(entry.path()) {
        Ok(meta) if meta.is_dir() && depth > 0 => sum.saturating_add(size(&entry.path(), depth - 1)),
        Ok(meta) if meta.is_file() => sum.saturating_add(meta.len()),
        _ => sum,
    })
}
