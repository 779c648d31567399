//! The body of an upload on its way into the store.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use sha2::{Digest, Sha256};

use crate::{
    digest::hex,
    job::{ArtifactBody, UploadError},
};

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
    limit: u64,
    /// The digest that it must have.
    sha256: Option<String>,
    /// Whether all of it has arrived.
    pub(super) ended: bool,
}

impl Gathered {
    /// A body that may have `limit` bytes, and must have this digest if there is one.
    pub(super) fn new(body: ArtifactBody, limit: u64, sha256: Option<String>) -> Self {
        Gathered { body, part: BytesMut::new(), hasher: Sha256::new(), size: 0, limit, sha256, ended: false }
    }

    /// The next part: whole, unless it is the last.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, UploadError> {
        const LENGTH: usize = 8 << 20;
        while self.part.len() < LENGTH && !self.ended {
            match self.body.next().await {
                Some(Ok(bytes)) => {
                    self.size += bytes.len() as u64;
                    if self.size > self.limit {
                        return Err(UploadError::TooLarge { limit: self.limit });
                    }
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
