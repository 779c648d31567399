//! [`Confinement`]: what a child may read, write and take.

use std::{
    fs::{self, DirEntry},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::request::{Request, Work};

/// What a child may read, write and take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Confinement {
    /// Files, and folders with what is in them, that it may read.
    pub(super) read: Vec<PathBuf>,
    /// Folders that it may list, with those in them.
    pub(super) list: Vec<PathBuf>,
    /// Folders that it may make files and folders in.
    pub(super) write: Vec<PathBuf>,
    /// A folder that it may make files in.
    pub(super) records: Option<PathBuf>,
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
        let mut list = Vec::new();
        let inputs = inputs.into_iter().flatten();
        let mut read: Vec<PathBuf> = inputs.flat_map(|path| readable(path, &request.out, &mut list)).collect();
        // It may not have been there when the child was started.
        read.push(request.library.clone());
        // It lists its folder, and loads what reads and compiles models from there as it needs it.
        read.extend(request.openvino.as_deref().and_then(Path::parent).map(Path::to_owned));
        read.sort();
        read.dedup();
        // What it may hold of both, and what is beside.
        let all = request.engine_memory.map(|engine| engine.saturating_add(request.memory).saturating_add(BESIDE));
        let memory = match request.work {
            Work::Companions | Work::Probe { .. } => Some(PLAN_MEMORY),
            Work::Plan => Some(all.unwrap_or(PLAN_MEMORY).min(PLAN_MEMORY)),
            _ => all,
        };
        Confinement {
            read,
            list,
            write: vec![request.out.clone()],
            records: request.statistics.clone(),
            memory,
            engine_memory: request.engine_memory,
            cpu_seconds: seconds.map(|seconds| seconds.saturating_mul(request.threads.max(1) as u64)),
            file_bytes: size(&files.model).saturating_mul(2).saturating_add(FILE_BESIDE),
            strict,
        }
    }
}

/// What belongs to an input: a file, or a folder, and how deep what is in it is looked through.
fn place(path: &Path) -> (&Path, usize) {
    // A graph names files of tensors beside it, an index names shards.
    let refers = path.extension().is_some_and(|extension| extension == "onnx" || extension == "json");
    match path.parent() {
        _ if path.is_dir() => (path, DEPTH),
        Some(folder) if refers => (folder, 0),
        _ => (path, 0),
    }
}

/// What must be readable to read an input: itself, what lies beside a file that may refer to others, and what links there
/// lead to: those who may fill the folder may name it. Folders that are only to be listed go to `list`. Never what holds
/// `out`: other jobs are there too.
fn readable(path: &Path, out: &Path, list: &mut Vec<PathBuf>) -> Vec<PathBuf> {
    let (root, depth) = place(path);
    let mut all = vec![path.to_owned()];
    let beside = root != path;
    if beside {
        list.push(root.to_owned());
    }
    for_each_entry(root, depth, &mut 0, &mut |entry| {
        let Ok(kind) = entry.file_type() else { return };
        if kind.is_symlink() {
            all.extend(entry.path().canonicalize().ok().filter(|target| target.is_file()));
        } else if beside && !out.starts_with(entry.path()) {
            all.push(entry.path());
        }
    });
    all
}

/// The bytes of an input and what belongs to it.
fn size(path: &Path) -> u64 {
    let (root, depth) = place(path);
    let mut sum = fs::metadata(root).map_or(0, |meta| meta.len());
    for_each_entry(root, depth, &mut 0, &mut |entry| {
        let bytes = fs::metadata(entry.path()).map_or(0, |meta| if meta.is_file() { meta.len() } else { 0 });
        sum = sum.saturating_add(bytes);
    });
    sum
}

/// Calls `see` with what is in a folder, and in those in it; of very many, with the first.
fn for_each_entry(folder: &Path, depth: usize, seen: &mut usize, see: &mut dyn FnMut(&DirEntry)) {
    const MOST: usize = 10_000;
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        *seen += 1;
        if *seen > MOST {
            return;
        }
        see(&entry);
        if depth > 0 && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            for_each_entry(&entry.path(), depth - 1, seen, see);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn beside_openvino_it_may_read_what_that_loads() {
        let mut request = Request::bare(Work::Companions, "/lib/libonnxruntime.so".into());
        request.openvino = Some("/opt/openvino/libs/libopenvino_c.so".into());
        let read = Confinement::of(&request, None, false).read;
        assert!(read.contains(&"/opt/openvino/libs".into()), "{read:?}");
        request.openvino = None;
        assert!(!Confinement::of(&request, None, false).read.contains(&"/opt/openvino/libs".into()));
    }

    #[test]
    fn what_an_input_needs_is_itself_and_what_it_may_refer_to() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for made in ["hub/snapshot", "data/scratch/job/out", "weights"] {
            fs::create_dir_all(at(made)).unwrap();
        }
        for (name, bytes) in [("model.onnx", 10), ("model.data", 100), ("lone.pth", 1000), ("hub/blob", 7)] {
            fs::write(at(name), vec![0; bytes]).unwrap();
        }
        symlink("../blob", at("hub/snapshot/model.safetensors")).unwrap();
        let read = |name: &str| {
            let mut list = Vec::new();
            let mut all = readable(&at(name), &at("data/scratch/job/out"), &mut list);
            all.sort();
            all.dedup();
            (all, list)
        };
        // Not the folder of the data, which holds the database and what others do.
        let beside = ["hub", "lone.pth", "model.data", "model.onnx", "weights"].map(at).to_vec();
        assert_eq!(read("model.onnx"), (beside, vec![folder.path().to_owned()]));
        assert_eq!(read("lone.pth"), (vec![at("lone.pth")], Vec::new()));
        // As the cache of Hugging Face has it: a folder of links to files elsewhere.
        let blob = at("hub/blob").canonicalize().unwrap();
        assert_eq!(read("hub/snapshot"), (vec![blob, at("hub/snapshot")], Vec::new()));
        assert_eq!(size(&at("lone.pth")), 1000);
        assert!(size(&at("model.onnx")) >= 1110);
        assert!(size(&at("hub/snapshot")) >= 7);
        assert_eq!(size(&at("missing")), 0);
    }
}
