//! [`Journal`]: which shards of an interrupted job are finished, so that they are not done again.
//!
//! Lies in a hidden folder beside the shards and goes when the job is done. An entry holds for the same inputs, the same
//! plan and the same version, and until the machine restarts: shards are not synced, so a power cut may undo them.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    backend::BackendError,
    digest::sha256_hex,
    files::write_whole,
    quant::{ErrorBits, ErrorStats},
};

/// The name of the hidden folder.
pub const JOURNAL: &str = ".ptqd-resume";

/// The finished shards of one job.
#[derive(Debug)]
pub(super) struct Journal {
    folder: PathBuf,
    out: PathBuf,
    job: String,
}

/// What is remembered of a shard.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    key: String,
    file_bytes: u64,
    /// The figures of each weight.
    errors: Vec<ErrorBits>,
}

impl Journal {
    /// For the job that `plan` describes, writing into `out`.
    pub(super) fn open(out: &Path, plan: &str) -> Result<Self, BackendError> {
        let folder = out.join(JOURNAL);
        fs::create_dir_all(&folder).map_err(|source| BackendError::Write { path: folder.clone(), source })?;
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let job = format!("{} {} {plan}", env!("CARGO_PKG_VERSION"), boot.trim());
        Ok(Journal { folder, out: out.to_owned(), job })
    }

    /// What the weights of a finished shard cost, if it was finished before.
    pub(super) fn finished(&self, name: &str, source: &Path) -> Option<(u64, Vec<ErrorStats>)> {
        let entry: Entry = serde_json::from_slice(&fs::read(self.path(name)).ok()?).ok()?;
        let whole = fs::metadata(self.out.join(name)).ok()?.len() == entry.file_bytes;
        (whole && entry.key == self.key(source)?)
            .then(|| (entry.file_bytes, entry.errors.iter().map(ErrorStats::from).collect()))
    }

    /// Remembers a shard that has its final name.
    pub(super) fn finish(
        &self,
        name: &str,
        source: &Path,
        file_bytes: u64,
        errors: &[ErrorStats],
    ) -> Result<(), BackendError> {
        let Some(key) = self.key(source) else { return Ok(()) };
        let entry = Entry { key, file_bytes, errors: errors.iter().map(ErrorBits::from).collect() };
        let path = self.path(name);
        write_whole(&path, json!(entry).to_string()).map_err(|source| BackendError::Write { path, source })
    }

    /// The job is done; nothing will be resumed.
    pub(super) fn close(self) -> Result<(), BackendError> {
        fs::remove_dir_all(&self.folder).map_err(|source| BackendError::Write { path: self.folder, source })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.json"))
    }

    /// Plan, version and what tells one input file from another without reading it.
    fn key(&self, source: &Path) -> Option<String> {
        let metadata = fs::metadata(source).ok()?;
        let modified: io::Result<_> = metadata.modified();
        let modified = modified.ok()?.duration_since(UNIX_EPOCH).ok()?.as_nanos();
        let text = format!("{}\n{}\n{}\n{modified}", self.job, source.display(), metadata.len());
        Some(sha256_hex(text.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_holds_for_the_same_plan_and_input_and_a_whole_file() {
        let folder = tempfile::tempdir().unwrap();
        let (source, out) = (folder.path().join("in"), folder.path().join("out"));
        fs::write(&source, "weights").unwrap();
        fs::create_dir(&out).unwrap();
        fs::write(out.join("a"), "12345").unwrap();
        let cost = ErrorStats { count: 3, noise: 0.1, max_abs_error: f64::MIN_POSITIVE, ..ErrorStats::default() };
        let journal = Journal::open(&out, "plan").unwrap();
        assert_eq!(journal.finished("a", &source), None);
        journal.finish("a", &source, 5, &[cost]).unwrap();
        let again = Journal::open(&out, "plan").unwrap();
        assert_eq!(again.finished("a", &source), Some((5, vec![cost])));
        assert_eq!(Journal::open(&out, "another plan").unwrap().finished("a", &source), None);
        fs::write(out.join("a"), "1234").unwrap();
        assert_eq!(again.finished("a", &source), None, "the file is shorter");
        fs::write(out.join("a"), "12345").unwrap();
        fs::write(&source, "other weights").unwrap();
        assert_eq!(again.finished("a", &source), None, "the input has changed");
        again.close().unwrap();
        assert!(!out.join(JOURNAL).exists());
    }
}
