//! [`Transfer`]: bringing a file from a place to the disk, in parts that arrive side by side and are hashed in order.
//!
//! What is there of a file when a transfer breaks off is not read again: a part is tried again by itself, and a transfer
//! that was killed goes on where its bytes end.

use std::{
    fs::{self, File},
    io::{Read, Seek, SeekFrom, Write},
    ops::Range,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};
use sha2::{Digest, Sha256};

use super::{
    StorageError,
    place::{Object, Place, ReadError, read},
};
use crate::{
    control::{Control, PhaseMeter},
    digest::{hex, sha256_hex},
};

/// Bytes of a part.
const PART: u64 = 8 << 20;
/// Parts under way at a time: these are in memory.
const AT_ONCE: usize = 4;
/// Tries of a part, beside those that the place's own client makes.
const TRIES: u32 = 6;
/// After which no other try is made: those of the client may take long as well.
const PATIENCE: Duration = Duration::from_secs(30);

/// Brings files.
#[derive(Debug)]
pub(super) struct Transfer<'a> {
    pub(super) place: &'a dyn Place,
    /// What errors are told of.
    pub(super) uri: &'a str,
    /// The most bytes of a file.
    pub(super) limit: u64,
    pub(super) control: &'a Control<'a>,
    /// Told of every byte.
    pub(super) meter: Option<&'a PhaseMeter<'a>>,
}

impl Transfer<'_> {
    /// Brings a file to `target`, which appears whole or not at all. Its SHA-256. What arrives is kept in the folder
    /// `partials` for whoever tries again.
    pub(super) async fn bring(&self, object: &Object, target: &Path, partials: &Path) -> Result<String, StorageError> {
        let partial = partials.join(self.partial(object));
        let resumes = object.tag.is_some() && object.ranges;
        let sink = Sink::open(partial.clone(), resumes).await?;
        self.told(sink.at)?;
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
        let sink = Sink { file, path: target.to_owned(), hasher: Sha256::new(), at: 0 };
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
        let stopped = async {
            while self.control.checkpoint().is_ok() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::select! {
            result = work => result,
            () = stopped => Err(StorageError::Stopped),
        }
    }

    async fn pour(&self, object: &Object, mut sink: Sink) -> Result<String, StorageError> {
        let too_large = || StorageError::TooLarge { uri: self.uri.to_owned(), limit: self.limit };
        if object.size.is_some_and(|size| size > self.limit) {
            return Err(too_large());
        }
        match object.size.filter(|&size| object.ranges && size.saturating_sub(sink.at) > PART) {
            Some(size) => {
                let ranges = (sink.at..size).step_by(PART as usize).map(|start| start..size.min(start + PART));
                let mut parts = stream::iter(ranges).map(|range| self.part(object, range)).buffered(AT_ONCE);
                while let Some(part) = parts.next().await {
                    let part = part?;
                    let length = part.len() as u64;
                    sink = sink.write(part).await?;
                    self.told(length)?;
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
                        Ok(()) if sink.at > self.limit => return Err(too_large()),
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
        let found = hex(&sink.hasher.finalize());
        match &object.sha256 {
            Some(expected) if *expected != found => {
                let _ = fs::remove_file(&sink.path);
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
                    self.told(length)?;
                }
                Err(error) => return Ok((sink, Err(error))),
            }
        }
        Ok((sink, Ok(())))
    }

    fn told(&self, bytes: u64) -> Result<(), StorageError> {
        self.meter.map_or(Ok(()), |meter| meter.advance(bytes)).map_err(|_| StorageError::Stopped)
    }
}

/// The waits between tries.
struct Tries {
    count: u32,
    began: Instant,
}

impl Default for Tries {
    fn default() -> Self {
        Tries { count: 0, began: Instant::now() }
    }
}

impl Tries {
    /// Waits, if another try is worth it.
    async fn next(&mut self, error: ReadError) -> Result<(), ReadError> {
        self.count += 1;
        if !error.passes() || self.count >= TRIES || self.began.elapsed() > PATIENCE {
            return Err(error);
        }
        tracing::debug!(?error, "a part is tried again");
        tokio::time::sleep(Duration::from_millis(100 << self.count)).await;
        Ok(())
    }
}

/// A file being written, and the digest of what is in it.
struct Sink {
    file: File,
    path: PathBuf,
    hasher: Sha256,
    at: u64,
}

impl Sink {
    /// Takes up what is there, or begins.
    async fn open(path: PathBuf, resumes: bool) -> Result<Self, StorageError> {
        blocking(move || {
            let mut file = File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(!resumes)
                .open(&path)
                .map_err(StorageError::local(&path))?;
            let (mut hasher, mut at) = (Sha256::new(), 0);
            let mut buffer = vec![0; 1 << 20];
            loop {
                match file.read(&mut buffer).map_err(StorageError::local(&path))? {
                    0 => break,
                    n => {
                        hasher.update(&buffer[..n]);
                        at += n as u64;
                    }
                }
            }
            Ok(Sink { file, path, hasher, at })
        })
        .await
    }

    async fn write(mut self, bytes: Vec<u8>) -> Result<Self, StorageError> {
        blocking(move || {
            self.file.write_all(&bytes).map_err(StorageError::local(&self.path))?;
            self.hasher.update(&bytes);
            self.at += bytes.len() as u64;
            Ok(self)
        })
        .await
    }

    /// From the beginning.
    fn again(mut self) -> Result<Self, StorageError> {
        let begun = self.file.seek(SeekFrom::Start(0)).and_then(|_| self.file.set_len(0));
        begun.map_err(StorageError::local(&self.path))?;
        Ok(Sink { hasher: Sha256::new(), at: 0, ..self })
    }
}

/// Disk and digests are not for the runtime's own threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
) -> Result<T, StorageError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|panic| Err(StorageError::local("")(std::io::Error::other(panic))))
}
