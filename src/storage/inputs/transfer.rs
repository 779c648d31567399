//! [`Transfer`]: bringing a file from a place to the disk, in parts that arrive side by side and are hashed in order.
//!
//! What is there of a file when a transfer breaks off is not read again: a part is tried again by itself, and a transfer
//! that was killed goes on where its bytes end.

use std::{
    fs::{self, File},
    ops::Range,
    path::Path,
};

use futures_util::{StreamExt, stream};

use super::{sink::Sink, tries::Tries};
use crate::{
    control::{Control, PhaseMeter},
    digest::sha256_hex,
    storage::{
        StorageError,
        places::{Object, Place, ReadError, read},
        stop::until_cancelled,
    },
};

/// Bytes of a part.
const PART: u64 = 8 << 20;
/// Parts under way at a time: these are in memory.
const AT_ONCE: usize = 4;
/// Brings files of one place, in parts where that is worth it.
#[derive(Debug)]
pub(super) struct Transfer<'a> {
    pub(super) place: &'a dyn Place,
    /// The URI that errors name.
    pub(super) uri: &'a str,
    /// The most bytes of a file.
    pub(super) limit: u64,
    pub(super) control: &'a Control<'a>,
    /// Where every byte that arrives is counted, if progress is shown.
    pub(super) meter: Option<&'a PhaseMeter<'a>>,
}

impl Transfer<'_> {
    /// Brings a file to `target`, which appears whole or not at all. Its SHA-256. What arrives is kept in the folder
    /// `partials` for the next attempt.
    pub(super) async fn bring(&self, object: &Object, target: &Path, partials: &Path) -> Result<String, StorageError> {
        let partial = partials.join(self.partial(object));
        let resumes = object.tag.is_some() && object.ranges;
        let sink = Sink::open(partial.clone(), resumes).await?;
        self.advance(sink.at)?;
        let digest = self.watched(self.pour(object, sink)).await?;
        // Both names, so that a later attempt finds it; on a disk that knows one only, that of the target.
        fs::hard_link(&partial, target)
            .or_else(|_| fs::rename(&partial, target))
            .map_err(StorageError::local(target))?;
        Ok(digest)
    }

    /// The name of the file that the bytes arrive in. Another version of the file has another name.
    fn partial(&self, object: &Object) -> String {
        let version = format!("{} {} {:?} {:?}", self.uri, object.path, object.tag, object.size);
        sha256_hex(version.as_bytes())
    }

    /// Fills a file that is there and has the right size. Its SHA-256.
    pub(super) async fn fill(&self, object: &Object, target: &Path) -> Result<String, StorageError> {
        let file = File::options().write(true).open(target).map_err(StorageError::local(target))?;
        let sink = Sink::new(file, target.to_owned());
        self.watched(self.pour(object, sink)).await
    }

    /// Some bytes of a file.
    pub(super) async fn part(&self, object: &Object, range: Range<u64>) -> Result<Vec<u8>, StorageError> {
        self.retried(|| read(self.place, object, range.clone())).await
    }

    /// Asks the place, again if it seems worth it.
    pub(super) async fn retried<T, F: Future<Output = Result<T, ReadError>>>(
        &self,
        ask: impl Fn() -> F,
    ) -> Result<T, StorageError> {
        let mut tries = Tries::default();
        loop {
            match ask().await {
                Ok(answer) => return Ok(answer),
                Err(error) => tries.next(error).await.map_err(|error| error.at(self.uri))?,
            }
        }
    }

    /// Stops something between two of its steps once the job is to stop.
    pub(super) async fn watched<T>(
        &self,
        work: impl Future<Output = Result<T, StorageError>>,
    ) -> Result<T, StorageError> {
        until_cancelled(self.control.canceller(), work).await.unwrap_or(Err(StorageError::Stopped))
    }

    async fn pour(&self, object: &Object, mut sink: Sink) -> Result<String, StorageError> {
        if object.size.is_some_and(|size| size > self.limit) {
            return Err(StorageError::TooLarge { uri: self.uri.to_owned(), limit: self.limit });
        }
        match object.size.filter(|&size| object.ranges && size.saturating_sub(sink.at) > PART) {
            Some(size) => {
                let ranges = (sink.at..size).step_by(PART as usize).map(|start| start..size.min(start + PART));
                let mut parts = stream::iter(ranges).map(|range| self.part(object, range)).buffered(AT_ONCE);
                while let Some(part) = parts.next().await {
                    let part = part?;
                    let length = part.len() as u64;
                    sink = sink.write(part).await?;
                    self.advance(length)?;
                }
            }
            None => {
                let mut tries = Tries::default();
                // In one piece; what has arrived of it counts if the place can go on from there.
                while object.size.is_none_or(|size| sink.at < size) {
                    let (rest, end) = self.stream(object, sink).await?;
                    sink = rest;
                    match end {
                        Ok(()) if object.size.is_none_or(|size| sink.at == size) => break,
                        Ok(()) => {
                            let short = format!("{} bytes arrived of {:?}", sink.at, object.size.unwrap_or_default());
                            tries.next(ReadError::failed(short)).await
                        }
                        Err(error) => tries.next(error).await,
                    }
                    .map_err(|error| error.at(self.uri))?;
                    if !object.ranges {
                        sink = sink.again()?;
                    }
                }
            }
        }
        let (path, found) = sink.finish();
        match &object.sha256 {
            Some(expected) if *expected != found => {
                let _ = fs::remove_file(path);
                Err(StorageError::Damaged { uri: self.uri.to_owned(), found, expected: expected.clone() })
            }
            _ => Ok(found),
        }
    }

    /// Writes what arrives in one piece, and says how that ended.
    async fn stream(&self, object: &Object, mut sink: Sink) -> Result<(Sink, Result<(), ReadError>), StorageError> {
        let range = object.size.filter(|_| sink.at > 0).map(|size| sink.at..size);
        let mut body = match self.place.open(object, range).await {
            Ok(body) => body,
            Err(error) => return Ok((sink, Err(error))),
        };
        let most = object.size.unwrap_or(self.limit);
        while let Some(chunk) = body.next().await {
            match chunk {
                Ok(bytes) => {
                    let length = bytes.len() as u64;
                    if sink.at + length > most {
                        let uri = self.uri.to_owned();
                        return Err(StorageError::TooLarge { uri, limit: most });
                    }
                    sink = sink.write(bytes.to_vec()).await?;
                    self.advance(length)?;
                }
                Err(error) => return Ok((sink, Err(error))),
            }
        }
        Ok((sink, Ok(())))
    }

    fn advance(&self, bytes: u64) -> Result<(), StorageError> {
        self.meter.map_or(Ok(()), |meter| meter.advance(bytes)).map_err(|_| StorageError::Stopped)
    }
}
