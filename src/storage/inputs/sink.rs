//! [`Sink`]: a file that is being written, and the digest of what is in it.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom, Write},
    path::PathBuf,
};

use sha2::{Digest, Sha256};

use crate::{digest::hex, panics::blocking, storage::StorageError};

/// A file being written, and the digest of what is in it.
pub(super) struct Sink {
    file: File,
    path: PathBuf,
    hasher: Sha256,
    /// Bytes written so far.
    pub(super) at: u64,
}

impl Sink {
    /// At the beginning of a file that is there.
    pub(super) fn new(file: File, path: PathBuf) -> Self {
        Sink { file, path, hasher: Sha256::new(), at: 0 }
    }

    /// The path, and the SHA-256 of what was written, in hexadecimal.
    pub(super) fn finish(self) -> (PathBuf, String) {
        (self.path, hex(&self.hasher.finalize()))
    }

    /// Takes up what is there, or begins.
    pub(super) async fn open(path: PathBuf, resumes: bool) -> Result<Self, StorageError> {
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
        .await?
    }

    pub(super) async fn write(mut self, bytes: Vec<u8>) -> Result<Self, StorageError> {
        blocking(move || {
            self.file.write_all(&bytes).map_err(StorageError::local(&self.path))?;
            self.hasher.update(&bytes);
            self.at += bytes.len() as u64;
            Ok(self)
        })
        .await?
    }

    /// Empties the file, to be written from its beginning.
    pub(super) fn again(mut self) -> Result<Self, StorageError> {
        let begun = self.file.seek(SeekFrom::Start(0)).and_then(|_| self.file.set_len(0));
        begun.map_err(StorageError::local(&self.path))?;
        Ok(Sink { hasher: Sha256::new(), at: 0, ..self })
    }
}
