//! [`LocalFiles`]: files of this machine, and the folders that they must lie in.

use std::{
    io,
    path::{Component, Path, PathBuf},
};

use crate::storage::StorageError;

/// Which files of this machine a `file://` URI may name.
#[derive(Clone, Debug, Default)]
pub enum LocalFiles {
    /// Every one: of a person's own command, or of a server that only its own machine can ask.
    #[default]
    Every,
    /// Those below these folders; none without a folder. Each folder stands here as it was given and without links.
    Below {
        /// The folders that are open.
        open: Vec<PathBuf>,
        /// Folders in them that are not.
        closed: Vec<PathBuf>,
    },
}

impl LocalFiles {
    /// Those below these folders, and no others.
    pub fn below(folders: impl IntoIterator<Item = PathBuf>) -> Self {
        LocalFiles::Below {
            open: folders.into_iter().flat_map(|folder| spellings(&folder)).collect(),
            closed: Vec::new(),
        }
    }

    /// Without what is in a folder, as far as a wider one is open: what the service keeps there belongs to its tenants.
    #[must_use]
    pub fn except(mut self, folder: &Path) -> Self {
        if let LocalFiles::Below { closed, .. } = &mut self {
            closed.extend(spellings(folder));
        }
        self
    }

    /// What is wrong with a path as its text shows. No file is looked at: the answer is the same whether there is one.
    pub(super) fn admit(&self, uri: &str, path: &Path) -> Result<(), StorageError> {
        // `%2F` hides a `..` from the reading of the URI.
        let plain = !path.components().any(|part| part == Component::ParentDir);
        if plain && self.hold(path) { Ok(()) } else { Err(self.outside(uri)) }
    }

    /// The path of a file without links, if it is one of these. Links are resolved before the folders are compared, so none
    /// leads outside.
    pub(super) fn find(&self, uri: &str, path: &Path) -> Result<PathBuf, StorageError> {
        let named = || uri.to_owned();
        match path.canonicalize() {
            Ok(path) if self.hold(&path) => Ok(path),
            Ok(_) => Err(self.outside(uri)),
            // Whether a file outside is there is nobody's business. Inside is what is below a root as it is written, but for
            // the links of the root itself.
            Err(_) if !nearest_folder(path).is_some_and(|folder| self.hold(&folder)) => Err(self.outside(uri)),
            Err(source) => Err(match source.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => StorageError::NotFound { uri: named() },
                io::ErrorKind::PermissionDenied => StorageError::Denied { uri: named(), source: source.into() },
                _ => StorageError::Unreachable { uri: named(), source: source.into() },
            }),
        }
    }

    fn hold(&self, path: &Path) -> bool {
        match self {
            LocalFiles::Every => true,
            LocalFiles::Below { open, closed } => {
                let shut = |open| closed.iter().any(|closed| path.starts_with(closed) && closed.starts_with(open));
                open.iter().any(|open| path.starts_with(open) && !shut(open))
            }
        }
    }

    fn outside(&self, uri: &str) -> StorageError {
        let reason = match self {
            LocalFiles::Below { open, .. } if open.is_empty() => "no folder of this machine is open",
            _ => "it is outside the folders that are open",
        };
        StorageError::NotAllowed { uri: uri.to_owned(), reason: reason.to_owned() }
    }
}

/// A folder as it was given and without links.
fn spellings(folder: &Path) -> [PathBuf; 2] {
    [folder.canonicalize(), std::path::absolute(folder)].map(|path| path.unwrap_or_else(|_| folder.to_owned()))
}

/// The nearest folder above a path that is there, without links.
fn nearest_folder(path: &Path) -> Option<PathBuf> {
    path.ancestors().find_map(|ancestor| ancestor.canonicalize().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_in_an_open_one_can_be_closed_and_one_in_that_opened() {
        let at = |path: &str| PathBuf::from(format!("/nowhere/{path}"));
        let wide = LocalFiles::below([at("srv")]).except(&at("srv/ptqd"));
        assert!(wide.hold(&at("srv/model.onnx")) && !wide.hold(&at("srv/ptqd/artifacts/x")));
        assert!(!LocalFiles::below([at("srv")]).except(&at("srv")).hold(&at("srv/x")));
        let inner = LocalFiles::below([at("srv/ptqd/models")]).except(&at("srv/ptqd"));
        assert!(inner.hold(&at("srv/ptqd/models/x")) && !inner.hold(&at("srv/ptqd/y")));
    }
}
