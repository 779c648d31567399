//! The body of an upload on its way into the store.

use std::{
    io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use sha2::{Digest, Sha256};

use super::account::Arriving;
use crate::{
    digest::hex,
    job::{ArtifactBody, UploadError},
};

/// Bytes of a disk that uploads leave free, for the work of everybody else; of a small disk a tenth.
const SPARE: u64 = 1 << 30;

/// What a body was that is stored.
#[derive(Debug)]
pub(super) struct Received {
    /// Its SHA-256 in hexadecimal.
    pub(super) sha256: String,
    pub(super) size: u64,
}

/// How a body ended; nothing while it has not.
pub(super) type End = Arc<Mutex<Option<Result<Received, UploadError>>>>;

/// The parts of a body, one of which is in hand.
pub(super) struct Parts {
    pub(super) body: Gathered,
    pub(super) in_hand: Option<Bytes>,
    pub(super) end: End,
}

impl Parts {
    /// The next part. The last one is not let through before the digest is known to be right.
    pub(super) async fn next(mut self) -> Option<(io::Result<Bytes>, Self)> {
        let part = self.in_hand.take()?;
        let next = match self.body.next().await {
            Ok(None) => self.body.finish().map(|received| (None, Some(received))),
            other => other.map(|next| (next, None)),
        };
        let item = match next {
            Ok((next, received)) => {
                self.in_hand = next;
                self.set_end(received.map(Ok));
                Ok(part)
            }
            Err(error) => {
                let why = io::Error::other(error.to_string());
                self.set_end(Some(Err(error)));
                Err(why)
            }
        };
        Some((item, self))
    }

    fn set_end(&self, end: Option<Result<Received, UploadError>>) {
        *self.end.lock().unwrap_or_else(PoisonError::into_inner) = end;
    }
}

/// A body as it arrives, in parts of one size.
pub(super) struct Gathered {
    body: ArtifactBody,
    part: BytesMut,
    hasher: Sha256,
    size: u64,
    /// The digest that it must have.
    sha256: Option<String>,
    /// Whether all of it has arrived.
    pub(super) ended: bool,
    room: Room,
}

/// What a body may take.
pub(super) struct Room {
    /// The most bytes of this upload.
    pub(super) limit: u64,
    /// The tenant's account, if there is a quota.
    pub(super) arriving: Option<Arc<Arriving>>,
    /// The folder that it goes to, if it stays on this machine.
    pub(super) folder: Option<PathBuf>,
}

impl Room {
    /// Whether bytes that make the upload so large may be taken.
    fn take(&self, bytes: u64, size: u64) -> Result<(), UploadError> {
        if size > self.limit {
            return Err(UploadError::TooLarge { limit: self.limit });
        }
        self.arriving.as_ref().map_or(Ok(()), |arriving| arriving.take(bytes))
    }

    /// Whether the disk takes another part, and has room left for everybody else.
    fn check_disk(&self) -> Result<(), UploadError> {
        let Some(folder) = &self.folder else { return Ok(()) };
        // A disk that does not answer will say so when it is written to.
        let Ok(disk) = rustix::fs::statvfs(folder) else { return Ok(()) };
        let [free, size] = [disk.f_bavail, disk.f_blocks].map(|blocks| blocks.saturating_mul(disk.f_frsize));
        if free < SPARE.min(size / 10) { Err(UploadError::NoRoom { free }) } else { Ok(()) }
    }
}

impl Gathered {
    /// A body that may take this room, and must have this digest if there is one.
    pub(super) fn new(body: ArtifactBody, room: Room, sha256: Option<String>) -> Self {
        Gathered { body, part: BytesMut::new(), hasher: Sha256::new(), size: 0, sha256, ended: false, room }
    }

    /// The next part: whole, unless it is the last.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, UploadError> {
        const LENGTH: usize = 8 << 20;
        self.room.check_disk()?;
        while self.part.len() < LENGTH && !self.ended {
            match self.body.next().await {
                Some(Ok(bytes)) => {
                    self.size += bytes.len() as u64;
                    self.room.take(bytes.len() as u64, self.size)?;
                    self.hasher.update(&bytes);
                    self.part.extend_from_slice(&bytes);
                }
                Some(Err(error)) => return Err(UploadError::Broken(error.into())),
                None => self.ended = true,
            }
        }
        let part = self.part.split_to(LENGTH.min(self.part.len())).freeze();
        Ok((!part.is_empty()).then_some(part))
    }

    /// Digest and size, if the digest is the one that was promised.
    pub(super) fn finish(&mut self) -> Result<Received, UploadError> {
        let found = hex(&std::mem::take(&mut self.hasher).finalize());
        match &self.sha256 {
            Some(expected) if *expected != found => Err(UploadError::Digest { found }),
            _ => Ok(Received { sha256: found, size: self.size }),
        }
    }
}
