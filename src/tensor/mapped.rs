//! Files mapped into memory: the one place where that happens.

use std::{
    fs::File,
    io,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

use memmap2::{Mmap, UncheckedAdvice};

/// The bytes of a file, read from disk as they are touched.
#[derive(Debug)]
pub struct Mapped {
    map: Option<Mmap>,
    /// Bytes that were read since the map was last relieved of its pages.
    read: AtomicUsize,
}

impl Mapped {
    /// Maps a whole file. An empty one maps to no bytes.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        if file.metadata()?.len() == 0 {
            return Ok(Mapped { map: None, read: AtomicUsize::new(0) });
        }
        // SAFETY: the map is read only and lives as long as its bytes are borrowed. Inputs are staged private copies or
        // files that their owner gave for the time of the job; one that shrinks meanwhile ends the process with a bus
        // error, never with a read of other memory.
        #[expect(unsafe_code, reason = "mapping a file is unsafe by nature; see SAFETY")]
        let map = unsafe { Mmap::map(&file) }?;
        Ok(Mapped { map: Some(map), read: AtomicUsize::new(0) })
    }

    /// Counts bytes that were read and will hardly be read again. Now and then the pages are given back, so that reading a
    /// large file from end to end does not make the process large.
    pub fn count_read(&self, bytes: usize) {
        const OFTEN: usize = 64 << 20;
        let Some(map) = &self.map else { return };
        if self.read.fetch_add(bytes, Ordering::Relaxed) + bytes < OFTEN {
            return;
        }
        self.read.store(0, Ordering::Relaxed);
        // SAFETY: the map is shared and read only, so a page that is given back comes again from the file when it is next
        // touched, with the same bytes; nobody sees a difference.
        #[expect(unsafe_code, reason = "the advice is unsafe for private maps, whose changes it undoes; see SAFETY")]
        // Advice that is not taken costs memory and nothing else.
        let _ = unsafe { map.unchecked_advise(UncheckedAdvice::DontNeed) };
    }
}

impl AsRef<[u8]> for Mapped {
    fn as_ref(&self) -> &[u8] {
        self.map.as_deref().unwrap_or_default()
    }
}
