//! [`check_free_space`]: whether a disk takes what is to be brought.

use std::path::Path;

use crate::storage::StorageError;

/// Whether a disk has room for so many bytes, with some to spare for everybody else.
pub(super) fn check_free_space(folder: &Path, needed: u64) -> Result<(), StorageError> {
    const SPARE: u64 = 16 << 20;
    let failed = |e: rustix::io::Errno| StorageError::local(folder)(e.into());
    let disk = rustix::fs::statvfs(folder).map_err(failed)?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    if needed == 0 || free >= needed.saturating_add(SPARE) {
        Ok(())
    } else {
        Err(StorageError::NoRoom { needed, free })
    }
}
