//! [`CachedStatistics`]: what an earlier calibration saw that would see the same now, so that the data need not run again.
//!
//! The same is: bytes of the model and of the data, samples, what masks them, how the graph is prepared, which tensors are watched and how,
//! the versions of this program and of the engine, its threads and its batch. Another dtype that the same operators can say,
//! or another algorithm that looks at the same, is not something else.

use std::{
    collections::BTreeMap,
    fs, iter,
    path::{Path, PathBuf},
};

use serde_json::json;

use super::{data::Data, opened::Opened, ranges::Watch};
use crate::{
    backend::{BackendError, RunInputs},
    calibration::Record,
    control::{Cancelled, Control},
    digest::{sha256_file, sha256_hex},
    engine::{self, Session},
    files::write_whole,
    model,
};

/// The place of a record.
#[derive(Debug)]
pub(super) struct CachedStatistics(PathBuf);

impl CachedStatistics {
    /// Where the record of a calibration is, or would be; `None` where none is kept.
    pub(super) fn find(
        opened: &Opened,
        watched: &BTreeMap<String, Watch>,
        data: &Data<'_>,
        inputs: &RunInputs,
        control: &Control<'_>,
    ) -> Result<Option<Self>, BackendError> {
        let (Some(folder), Data::Given { source, samples, batch, .. }) = (&inputs.statistics, data) else {
            return Ok(None);
        };
        engine::available(&inputs.engine)?;
        let beside = model::companions(&opened.path).unwrap_or_default();
        let parent = opened.path.parent().unwrap_or(Path::new(""));
        let files = iter::once(opened.path.clone()).chain(beside.iter().map(|name| parent.join(name)));
        let digests = |files: Vec<PathBuf>| -> Result<Option<Vec<String>>, BackendError> {
            let mut digests = Vec::new();
            for file in files {
                if let Some(known) = inputs.digests.get(&file) {
                    digests.push(known.clone());
                    continue;
                }
                match sha256_file(&file, || control.checkpoint().is_ok()) {
                    Ok(Some((_, sha256))) => digests.push(sha256),
                    Ok(None) => return Err(Cancelled.into()),
                    // What cannot be read becomes an error where it is needed.
                    Err(_) => return Ok(None),
                }
            }
            Ok(Some(digests))
        };
        let (Some(model), Some(data)) = (digests(files.collect())?, digests(all_files(&source.path))?) else {
            return Ok(None);
        };
        let watched: BTreeMap<&String, String> =
            watched.iter().map(|(name, watch)| (name, format!("{watch:?}"))).collect();
        let key = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "engine": Session::engine_version(),
            "threads": inputs.engine.threads,
            "model": model,
            "prepared": opened.preparation,
            "data": data,
            "samples": [samples.start, samples.end],
            "batch": batch,
            "preprocess": source.preprocess,
            "mask": opened.mask(source),
            "watched": watched,
        });
        Ok(Some(CachedStatistics(folder.join(format!("{}.json", sha256_hex(key.to_string().as_bytes()))))))
    }

    /// The record, if there is one that can be read.
    pub(super) fn read(&self) -> Option<Record> {
        Record::read(&self.0).ok().flatten()
    }

    /// Keeps a record. One that cannot be kept is made again the next time, and that is all.
    pub(super) fn write(&self, record: &Record) {
        let _ = write_whole(&self.0, json!(record).to_string());
    }
}

/// A file, or every file below a folder, sorted by path.
fn all_files(path: &Path) -> Vec<PathBuf> {
    if !path.is_dir() {
        return vec![path.to_owned()];
    }
    let mut entries: Vec<PathBuf> =
        fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    entries.sort();
    entries.iter().flat_map(|entry| all_files(entry)).collect()
}
