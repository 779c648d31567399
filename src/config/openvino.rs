//! [`library`]: where OpenVINO is.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The file's name, to which versions are appended.
const NAME: &str = if cfg!(target_os = "macos") { "libopenvino_c.dylib" } else { "libopenvino_c.so" };

/// The library's path, absolute, from that of itself or of its folder. Read once, as the program starts.
pub(super) fn library(given: &str) -> Result<PathBuf, String> {
    let found = if Path::new(given).is_dir() { within(Path::new(given)) } else { Some(given.into()) };
    let found = found.ok_or_else(|| format!("the folder has no {NAME}"))?;
    let path = found.canonicalize().map_err(|error| error.to_string())?;
    if path.is_file() { Ok(path) } else { Err("it is no file".to_owned()) }
}

/// The one without a version, or of several versions the last.
fn within(folder: &Path) -> Option<PathBuf> {
    let names = fs::read_dir(folder).ok()?.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| name.starts_with(NAME)).collect();
    names.sort();
    let plain = names.first().filter(|name| *name == NAME);
    plain.or(names.last()).map(|name| folder.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_gives_its_library_and_what_is_not_there_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().canonicalize().unwrap().join(name);
        let given = folder.path().to_str().unwrap();
        assert_eq!(library(given), Err(format!("the folder has no {NAME}")));
        for name in ["libopenvino.so.2641", &format!("{NAME}.2540"), &format!("{NAME}.2641")] {
            fs::write(at(name), "").unwrap();
        }
        assert_eq!(library(given), Ok(at(&format!("{NAME}.2641"))));
        fs::write(at(NAME), "").unwrap();
        assert_eq!(library(given), Ok(at(NAME)));
        let older = at(&format!("{NAME}.2540"));
        assert_eq!(library(older.to_str().unwrap()), Ok(older));
        assert!(library("/nonexistent/libopenvino_c.so").is_err());
    }
}
