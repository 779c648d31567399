//! The API's [`DiskProbe`]: whether there is room where this process writes.

use std::path::PathBuf;

use crate::api::DiskProbe;

/// Below this many free bytes a disk is as good as full.
const LEAST: u64 = 64 << 20;

/// The disks that some folders are on.
#[derive(Debug)]
pub(super) struct Disks(pub(super) Vec<PathBuf>);

impl DiskProbe for Disks {
    fn check(&self) -> Result<(), String> {
        for folder in &self.0 {
            let free = rustix::fs::statvfs(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
            let bytes = free.f_bavail.saturating_mul(free.f_frsize);
            if bytes < LEAST {
                return Err(format!("{} MiB are free", bytes >> 20));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let why = Disks(vec!["/no/such/folder".into()]).check().unwrap_err();
        assert!(why.starts_with("/no/such/folder: "), "{why}");
        assert_eq!(Disks(Vec::new()).check(), Ok(()));
    }
}
