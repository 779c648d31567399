//! Files mapped into memory: the one place where that happens.

use std::{fs::File, io, path::Path};

use memmap2::Mmap;

/// The bytes of a file, read from disk as they are touched.
#[derive(Debug)]
pub struct Mapped(Option<Mmap>);

impl Mapped {
    /// Maps a whole file. An empty one maps to no bytes.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        if file.metadata()?.len() == 0 {
            return Ok(Mapped(None));
        }
        // SAFETY: the map is read only and lives as long as its bytes are borrowed. Inputs are staged private copies or
        // files that their owner gave for the time of the job; one that shrinks meanwhile ends the process with a bus
        // error, never with a read of other memory.
        #[expect(unsafe_code, reason = "mapping a file is unsafe by nature; see SAFETY")]
        let map = unsafe { Mmap::map(&file) }?;
        Ok(Mapped(Some(map)))
    }
}

impl AsRef<[u8]> for Mapped {
    fn as_ref(&self) -> &[u8] {
        self.0.as_deref().unwrap_or_default()
    }
}
