//! [`library`]: where OpenVINO is.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The file's name, to which versions are appended.
const NAME: &str = if cfg!(target_os = "macos") { "libopenvino_c.dylib" } else { "libopenvino_c.so" };

/// The path that was given leads to no library.
#[derive(Debug, thiserror::Error)]
#[error("the setting --openvino names {path}, which is not {NAME} and no folder that has it", path = .0.display())]
pub struct OpenVinoMissing(PathBuf);

/// The library's path, absolute, from that of itself or of its folder.
pub(super) fn library(given: &Path) -> Result<PathBuf, OpenVinoMissing> {
    let found = if given.is_dir() { within(given) } else { Some(given.to_owned()) };
    let found = found.and_then(|path| path.canonicalize().ok()).filter(|path| path.is_file());
    found.ok_or_else(|| OpenVinoMissing(given.to_owned()))
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
        let found = |given: &Path| library(given).ok();
        assert_eq!(found(folder.path()), None);
        for name in ["libopenvino.so.2641", &format!("{NAME}.2540"), &format!("{NAME}.2641")] {
            fs::write(at(name), "").unwrap();
        }
        assert_eq!(found(folder.path()), Some(at(&format!("{NAME}.2641"))));
        fs::write(at(NAME), "").unwrap();
        assert_eq!(found(folder.path()), Some(at(NAME)));
        let older = at(&format!("{NAME}.2540"));
        assert_eq!(found(&older), Some(older));
        assert_eq!(found(&at("missing.so")), None);
    }
}
