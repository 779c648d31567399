//! Large files into a bucket, in parts, so that nothing is left of one that breaks off.
//!
//! A bucket keeps the parts of an upload that was never finished, unseen and paid for. So the name of each upload is noted
//! in the bucket while it lasts: whoever cleans up after a process that died reads the note and abandons the upload.

use std::{
    io,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use buffa::bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt};
use object_store::{ObjectMeta, ObjectStoreExt, PutPayload, path::Path as Key};

use super::{bucket::Bucket, error::Cause};

/// Where notes of uploads under way are: the key of the file below this.
pub(super) const NOTES: &str = "_multipart";
/// Parts under way at a time: these are in memory.
const AT_ONCE: usize = 3;

/// Bytes of a part of a file of this size: stores take ten thousand parts.
pub(super) fn part_bytes(size: u64) -> usize {
    const LEAST: u64 = 8 << 20;
    const MOST_PARTS: u64 = 9000;
    usize::try_from(size.div_ceil(MOST_PARTS).next_multiple_of(1 << 20).max(LEAST)).unwrap_or(usize::MAX)
}

impl Bucket {
    /// Stores a file that comes in parts, all of one size but the last. Its size.
    pub(super) async fn put_parts(
        &self,
        key: &Key,
        parts: impl Stream<Item = io::Result<Bytes>> + Send,
        cancel: &AtomicBool,
    ) -> Result<u64, Cause> {
        let note = Key::from(format!("{NOTES}/{key}"));
        let id = self.parts.create_multipart(key).await?;
        let stored = async {
            self.store.put(&note, PutPayload::from(id.clone())).await?;
            let mut size = 0;
            let one = |(at, part): (usize, io::Result<Bytes>)| {
                let id = &id;
                async move {
                    let part = part?;
                    let length = part.len() as u64;
                    Ok::<_, Cause>((self.parts.put_part(key, id, at, part.into()).await?, length))
                }
            };
            let mut put = std::pin::pin!(parts.enumerate().map(one).buffered(AT_ONCE));
            let mut done = Vec::new();
            while let Some((part, length)) = put.try_next().await? {
                done.push(part);
                size += length;
            }
            self.parts.complete_multipart(key, &id, done).await?;
            Ok(size)
        };
        let stored = stoppable(stored, cancel).await;
        let over = match &stored {
            Ok(_) => Ok(()),
            Err(_) => self.parts.abort_multipart(key, &id).await,
        };
        let over = if over.is_ok() { self.store.delete(&note).await } else { over };
        if let Err(error) = over {
            tracing::warn!(%error, %note, "an upload is abandoned when its note is swept");
        }
        stored
    }

    /// Abandons the uploads below a prefix that are noted and that `over` says are over.
    pub(super) async fn sweep_uploads(&self, prefix: &str, over: impl Fn(&ObjectMeta) -> bool) {
        let root = Key::from(format!("{NOTES}/{prefix}"));
        let mut notes = self.store.list(Some(&root));
        while let Some(Ok(note)) = notes.next().await {
            if !over(&note) {
                continue;
            }
            if let Err(error) = self.abandon(&note.location).await {
                tracing::warn!(note = %note.location, %error, "an upload could not be abandoned");
            }
        }
    }

    async fn abandon(&self, note: &Key) -> Result<(), Cause> {
        let id = String::from_utf8(self.store.get(note).await?.bytes().await?.to_vec())?;
        let key: Key = note.parts().skip(1).collect();
        match self.parts.abort_multipart(&key, &id).await {
            // It was finished, or abandoned before.
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(self.store.delete(note).await?)
    }
}

/// Work that is dropped soon after the flag is set.
pub(super) async fn stoppable<T>(
    work: impl Future<Output = Result<T, Cause>>,
    cancel: &AtomicBool,
) -> Result<T, Cause> {
    let stopped = async {
        while !cancel.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::select! {
        result = work => result,
        () = stopped => Err(io::Error::from(io::ErrorKind::Interrupted).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_file_has_more_parts_than_a_store_takes() {
        for size in [0_u64, 1, 5 << 30, 100 << 30, 5 << 40] {
            assert!(size.div_ceil(part_bytes(size) as u64) <= 10_000, "{size}");
        }
        assert_eq!(part_bytes(1 << 30), 8 << 20);
    }
}
