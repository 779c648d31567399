//! Files that appear whole or not at all: written under a temporary name beside their own, then renamed.
//!
//! A leaf: any module may name it, and it names none. Nothing is synced to the disk, which would take longer than all the
//! rest: a file survives the end of the process, not a power cut.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU64, Ordering},
};

/// A file that has a temporary name, its own followed by `.partial`, until [`PartialFile::finish`]. One that is dropped
/// before is left under the temporary name, and overwritten by the next attempt.
#[derive(Debug)]
pub struct PartialFile {
    file: File,
    temporary: PathBuf,
    path: PathBuf,
}

impl PartialFile {
    /// Creates the file that will be `path`.
    pub fn create(path: &Path) -> io::Result<Self> {
        let temporary = with_suffix(path, ".partial");
        Ok(PartialFile { file: File::create(&temporary)?, temporary, path: path.to_owned() })
    }

    /// The open file, to be written to.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The name that it will have.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the file its name. Its size in bytes.
    pub fn finish(self) -> io::Result<u64> {
        fs::rename(&self.temporary, &self.path)?;
        Ok(self.file.metadata()?.len())
    }
}

/// Writes a small file whole. Threads and processes may write the same one at once: each has a temporary name of its own,
/// and the last to be renamed stays.
pub fn write_whole(path: &Path, bytes: impl AsRef<[u8]>) -> io::Result<()> {
    static WRITTEN: AtomicU64 = AtomicU64::new(0);
    let number = WRITTEN.fetch_add(1, Ordering::Relaxed);
    let temporary = with_suffix(path, &format!(".{}-{number}.partial", process::id()));
    let written = fs::write(&temporary, bytes).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// Copies the bytes of a file; not its mode, which a confined process may not set. How many there were.
pub fn copy(from: &Path, to: &Path) -> io::Result<u64> {
    io::copy(&mut File::open(from)?, &mut File::create(to)?)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_partial_file_has_its_name_only_once_it_is_finished() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.onnx");
        let partial = PartialFile::create(&path).unwrap();
        partial.file().write_all(b"12345").unwrap();
        assert_eq!((partial.path(), names(folder.path())), (&*path, vec!["model.onnx.partial".to_owned()]));
        assert_eq!(partial.finish().unwrap(), 5);
        assert_eq!(
            (names(folder.path()), fs::read(&path).unwrap()),
            (vec!["model.onnx".to_owned()], b"12345".to_vec())
        );
    }

    #[test]
    fn a_dropped_partial_file_is_overwritten_by_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        PartialFile::create(&path).unwrap().file().write_all(b"longer than the next").unwrap();
        PartialFile::create(&path).unwrap().finish().unwrap();
        assert_eq!((names(folder.path()), fs::read(&path).unwrap()), (vec!["a".to_owned()], vec![]));
    }

    #[test]
    fn what_is_written_whole_replaces_what_was_there_and_leaves_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        write_whole(&path, "first").unwrap();
        write_whole(&path, "second").unwrap();
        assert_eq!((names(folder.path()), fs::read(&path).unwrap()), (vec!["a.json".to_owned()], b"second".to_vec()));
    }

    #[test]
    fn what_cannot_be_renamed_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("taken");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("inside"), "").unwrap();
        assert!(write_whole(&path, "text").is_err());
        assert_eq!(names(folder.path()), ["taken"]);
    }

    #[test]
    fn many_threads_may_write_one_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::thread::scope(|scope| {
            for number in 0..8u8 {
                let path = &path;
                scope.spawn(move || write_whole(path, vec![number; 4096]).unwrap());
            }
        });
        let bytes = fs::read(&path).unwrap();
        assert!(bytes.len() == 4096 && bytes.iter().all(|byte| *byte == bytes[0]));
        assert_eq!(names(folder.path()), ["a"]);
    }
}
