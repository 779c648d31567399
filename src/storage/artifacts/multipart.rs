//! Large files into a bucket, in parts, so that nothing is left of one that breaks off.
//!
//! A bucket keeps the parts of an upload that was never finished, unseen and paid for. So the name of each upload is noted
//! in the bucket while it lasts: cleaning up after a process that died reads the note and aborts the upload.

use std::io;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt};
use object_store::{ObjectMeta, ObjectStoreExt, PutPayload, path::Path as Key};

use crate::{
    control::Canceller,
    storage::{error::Cause, places::Bucket, stop::until_cancelled},
};

/// Where notes of uploads under way are: the key of the file below this.
const NOTES: &str = "_multipart";
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
    pub(in crate::storage) async fn put_parts(
        &self,
        key: &Key,
        parts: impl Stream<Item = io::Result<Bytes>> + Send,
        canceller: &Canceller,
    ) -> Result<u64, Cause> {
        let note = Key::from(format!("{NOTES}/{key}"));
        let id = self.parts.create_multipart(key).await?;
        let stored = async {
            self.store.put(&note, PutPayload::from(id.clone())).await?;
            let (done, size) = put_all(parts, |at, part| self.parts.put_part(key, &id, at, part)).await?;
            self.parts.complete_multipart(key, &id, done).await?;
            Ok(size)
        };
        let stored = stoppable(stored, canceller).await;
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
    pub(in crate::storage) async fn sweep_uploads(&self, prefix: &str, over: impl Fn(&ObjectMeta) -> bool) {
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

/// Puts parts as they come, a few side by side. What the store answered for each, in order, and the bytes of all.
pub(super) async fn put_all<T, F: Future<Output = object_store::Result<T>>>(
    parts: impl Stream<Item = io::Result<Bytes>> + Send,
    mut put: impl FnMut(usize, PutPayload) -> F,
) -> Result<(Vec<T>, u64), Cause> {
    let mut size = 0;
    let under_way = parts.enumerate().map(|(at, part)| {
        let part = part?;
        size += part.len() as u64;
        let stored = put(at, part.into());
        Ok(async { Ok::<_, Cause>(stored.await?) })
    });
    let stored = under_way.try_buffered(AT_ONCE).try_collect().await?;
    Ok((stored, size))
}

/// Work that is dropped soon after the job is cancelled.
pub(super) async fn stoppable<T>(
    work: impl Future<Output = Result<T, Cause>>,
    canceller: &Canceller,
) -> Result<T, Cause> {
    let stopped = |_| Err(io::Error::from(io::ErrorKind::Interrupted).into());
    until_cancelled(canceller, work).await.unwrap_or_else(stopped)
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use futures_util::stream;

    use super::*;

    #[tokio::test]
    async fn parts_are_put_in_order_and_counted_until_one_fails() {
        let parts = || stream::iter([Ok(Bytes::from("ab")), Ok(Bytes::from("c"))]);
        let put = |at, part: PutPayload| ready(Ok((at, part.content_length())));
        assert_eq!(put_all(parts(), put).await.unwrap(), (vec![(0, 2), (1, 1)], 3));
        let broken = parts().chain(stream::iter([Err(io::Error::other("broken"))]));
        assert!(put_all(broken, put).await.is_err());
    }

    #[test]
    fn no_file_has_more_parts_than_a_store_takes() {
        for size in [0_u64, 1, 5 << 30, 100 << 30, 5 << 40] {
            assert!(size.div_ceil(part_bytes(size) as u64) <= 10_000, "{size}");
        }
        assert_eq!(part_bytes(1 << 30), 8 << 20);
    }
}
