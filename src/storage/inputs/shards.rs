//! [`RemoteShards`]: the shards of a checkpoint that is elsewhere, brought one at a time.
//!
//! Each has a file of the right size that holds its header and, until it is brought, a hole. So the whole checkpoint can be
//! opened and planned at once while the disk holds a shard or two.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::fs::{FallocateFlags, fallocate};

use super::{disk::check_free_space, transfer::Transfer};
use crate::{
    control::Control,
    model::safetensors::header_end,
    storage::{
        StorageError,
        places::{Object, Place},
    },
};

/// The shards of one checkpoint.
#[derive(Clone, Debug)]
pub struct RemoteShards {
    pub(super) place: Arc<dyn Place>,
    /// The URI of their folder.
    pub(super) uri: String,
    pub(super) limit: u64,
    pub(super) files: Vec<RemoteShard>,
    pub(super) folder: PathBuf,
}

/// A shard of a checkpoint that is elsewhere, whose header is here.
#[derive(Clone, Debug)]
pub(super) struct RemoteShard {
    pub(super) name: String,
    pub(super) object: Object,
    /// Bytes up to the end of the header, which are here.
    pub(super) header_end: u64,
}

impl RemoteShards {
    /// The names of the shards' files.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(|shard| shard.name.as_str())
    }

    /// Brings a shard. Its SHA-256.
    pub async fn bring(&self, name: &str, control: &Control<'_>) -> Result<String, StorageError> {
        let uri = format!("{}/{name}", self.uri);
        let RemoteShard { object, .. } = self.find(name)?;
        check_free_space(&self.folder, object.size.unwrap_or(0))?;
        let transfer = Transfer { place: &*self.place, uri: &uri, limit: self.limit, control, meter: None };
        transfer.fill(object, &self.folder.join(name)).await
    }

    /// Gives back the disk that a shard takes; its header stays.
    pub fn release(&self, name: &str) -> Result<(), StorageError> {
        let RemoteShard { object, header_end, .. } = self.find(name)?;
        let (path, size) = (self.folder.join(name), object.size.unwrap_or(0));
        let emptied = File::options().write(true).open(&path).and_then(|file| {
            let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            match fallocate(&file, hole, *header_end, size.saturating_sub(*header_end)) {
                Ok(()) => Ok(()),
                // A file system without holes. Nobody reads the file any more.
                Err(rustix::io::Errno::OPNOTSUPP) => file.set_len(*header_end).and_then(|()| file.set_len(size)),
                Err(error) => Err(error.into()),
            }
        });
        emptied.map_err(StorageError::local(path))
    }

    fn find(&self, name: &str) -> Result<&RemoteShard, StorageError> {
        let missing = || StorageError::NotFound { uri: format!("{}/{name}", self.uri) };
        self.files.iter().find(|shard| shard.name == name).ok_or_else(missing)
    }
}

/// Makes the file of a shard that is not brought yet. Where its header ends.
pub(super) async fn skeleton(transfer: &Transfer<'_>, object: &Object, path: &Path) -> Result<u64, StorageError> {
    // Most headers are smaller.
    const FIRST: u64 = 1 << 20;
    let size = object.size.unwrap_or(0);
    let mut start = if size == 0 { Vec::new() } else { transfer.part(object, 0..size.min(FIRST)).await? };
    let end = start.first_chunk().and_then(|first| header_end(*first)).filter(|&end| end <= size);
    // What is no header is for the reader to refuse.
    let end = end.unwrap_or(start.len() as u64);
    if end > start.len() as u64 {
        let rest = transfer.part(object, start.len() as u64..end).await?;
        start.extend(rest);
    }
    start.truncate(usize::try_from(end).unwrap_or(usize::MAX));
    let laid = File::create(path).and_then(|file| {
        file.set_len(size)?;
        file.write_all_at(&start, 0)?;
        Ok::<_, io::Error>(())
    });
    laid.map_err(StorageError::local(path))?;
    Ok(end)
}
