//! [`within`]: files of this machine, and the folders that they must lie in.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::storage::StorageError;

/// The path of a file without links, if it lies in one of these folders; anywhere, without any. Links are resolved before
/// the folders are compared, so none leads outside.
pub(super) fn within(roots: &[PathBuf], uri: &str, path: &Path) -> Result<PathBuf, StorageError> {
    let uri = || uri.to_owned();
    let outside =
        || StorageError::NotAllowed { uri: uri(), reason: "it is outside the folders that are open".to_owned() };
    let is_inside = |path: &Path| roots.is_empty() || roots.iter().any(|root| path.starts_with(root));
    match path.canonicalize() {
        Ok(path) if is_inside(&path) => Ok(path),
        Ok(_) => Err(outside()),
        // Whether a file outside is there is nobody's business. Inside is what is below a root as it is written, but for
        // the links of the root itself.
        Err(_) if !nearest_folder(path).is_some_and(|folder| is_inside(&folder)) => Err(outside()),
        Err(source) => Err(match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => StorageError::NotFound { uri: uri() },
            io::ErrorKind::PermissionDenied => StorageError::Denied { uri: uri(), source: source.into() },
            _ => StorageError::Unreachable { uri: uri(), source: source.into() },
        }),
    }
}

/// The nearest folder above a path that is there, without links.
fn nearest_folder(path: &Path) -> Option<PathBuf> {
    path.ancestors().find_map(|ancestor| ancestor.canonicalize().ok())
}
