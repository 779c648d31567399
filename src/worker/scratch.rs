//! Folders for work in progress, one for each job, which outlive an attempt so that the next one can resume.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use crate::{
    control::Phase,
    fault::FaultCode,
    job::{Failure, JobId, Lease, Upkeep},
};

/// The folder of one attempt, ours while this lives.
#[derive(Debug)]
pub(super) struct Scratch {
    path: PathBuf,
    lock: PathBuf,
    /// Whether it goes with this.
    once: bool,
    _locked: File,
}

/// A plan whose client went away is dropped wherever it is.
impl Drop for Scratch {
    fn drop(&mut self) {
        if self.once {
            self.erase();
        }
    }
}

impl Scratch {
    /// The folder that earlier attempts at the job left, or a new one. An attempt that was fenced off but still runs on
    /// this machine keeps its own.
    pub(super) fn open(root: &Path, lease: &Lease) -> io::Result<Self> {
        if let Some(scratch) = Self::take(root, lease.job.to_string())? {
            return Ok(scratch);
        }
        Self::take(root, format!("{}-{}", lease.job, lease.token))?.ok_or_else(|| io::ErrorKind::ResourceBusy.into())
    }

    /// A new folder for something that no attempt takes up. It is removed when this is dropped.
    pub(super) fn once(root: &Path) -> io::Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!("plan-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let mut scratch = Self::take(root, name)?.ok_or(io::ErrorKind::ResourceBusy)?;
        scratch.once = true;
        Ok(scratch)
    }

    /// A folder, unless it is another's.
    fn take(root: &Path, name: String) -> io::Result<Option<Self>> {
        let (path, lock) = (root.join(&name), root.join(format!("{name}.lock")));
        let file = File::create(&lock)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Ok(None),
            Err(fs::TryLockError::Error(error)) => return Err(error),
        }
        fs::create_dir_all(&path)?;
        Ok(Some(Scratch { path, lock, once: false, _locked: file }))
    }

    /// The folder of the job's attempts, which other processes leave alone while this lives.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the folder: no attempt will follow.
    pub(super) fn remove(self) {
        self.erase();
    }

    fn erase(&self) {
        let _ = fs::remove_dir_all(&self.path);
        let _ = fs::remove_file(&self.lock);
    }
}

/// The failure of an attempt that has no folder to work in.
pub(super) fn unusable_scratch(error: &io::Error) -> Failure {
    let message = format!("the scratch folder cannot be used: {error}");
    Failure::plain(FaultCode::ScratchUnusable, message).with_phase(Some(Phase::Staging))
}

/// Removes the folders of jobs that have ended or are unknown, unless someone holds them.
pub async fn sweep(root: &Path, upkeep: &dyn Upkeep) -> io::Result<()> {
    for entry in fs::read_dir(root)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let name = name.strip_suffix(".lock").unwrap_or(&name);
        // A name begins with the job's id; what follows is the token of an attempt that found the folder taken.
        const ID_LENGTH: usize = 35;
        let job = name.get(..ID_LENGTH).and_then(|id| id.parse::<JobId>().ok());
        let waiting = match &job {
            Some(id) => upkeep.footprint(id).await.is_ok_and(|job| job.is_some_and(|job| !job.ended)),
            None => false,
        };
        let held = File::open(root.join(format!("{name}.lock"))).is_ok_and(|lock| lock.try_lock().is_err());
        if !waiting && !held {
            let _ = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_of_a_plan_goes_with_it() {
        let root = tempfile::tempdir().unwrap();
        let scratch = Scratch::once(root.path()).unwrap();
        fs::write(scratch.path().join("x"), "x").unwrap();
        drop(scratch);
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }
}
