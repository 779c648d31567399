//! [`Sources`]: which URIs may be read, and what each scheme means.

use std::path::{Path, PathBuf};

use url::Url;

use super::StorageError;
use crate::{
    fault::Fault,
    spec::{Objection, ObjectionCode},
};

/// The schemes that [`Sources::locate`] knows.
pub const SCHEMES: [&str; 1] = ["file"];

/// Which URIs may be read.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Folders that `file://` URIs must lie in; none for anywhere.
    roots: Vec<PathBuf>,
}

impl Sources {
    /// `roots` are the folders open to `file://` URIs; without any, every file is.
    pub fn new(roots: impl IntoIterator<Item = PathBuf>) -> Self {
        Sources { roots: roots.into_iter().map(|root| root.canonicalize().unwrap_or(root)).collect() }
    }

    /// The local path of an input. Local files are used where they are, never copied.
    pub fn locate(&self, uri: &str) -> Result<PathBuf, StorageError> {
        let path = parse(uri)?;
        let unreachable = |source| StorageError::Unreachable { uri: uri.to_owned(), source };
        // Links are resolved before the folders are compared, so none leads outside.
        let path = path.canonicalize().map_err(unreachable)?;
        if !self.roots.is_empty() && !self.roots.iter().any(|root| path.starts_with(root)) {
            return Err(StorageError::Outside { uri: uri.to_owned() });
        }
        Ok(path)
    }

    /// What is wrong with a URI that can be told without reading anything.
    pub fn objection(&self, pointer: &str, uri: &str) -> Option<Objection> {
        let error = parse(uri).err()?;
        let objection = Objection::new(pointer, ObjectionCode::InvalidUri, error.to_string()).allowed(SCHEMES);
        Some(match error.hint() {
            Some(hint) => objection.hint(hint),
            None => objection,
        })
    }
}

/// What a URI names. One arm for each scheme.
fn parse(uri: &str) -> Result<PathBuf, StorageError> {
    let malformed = |reason: &str| StorageError::Malformed { uri: uri.to_owned(), reason: reason.to_owned() };
    let url = Url::parse(uri).map_err(|e| malformed(&e.to_string()))?;
    match url.scheme() {
        "file" => {
            let path = url.to_file_path().map_err(|()| malformed("a file:// URI has no host and an absolute path"))?;
            if path.as_os_str().as_encoded_bytes().contains(&0) {
                return Err(malformed("the path holds a zero byte"));
            }
            Ok(path)
        }
        other => Err(StorageError::Scheme { scheme: other.to_owned() }),
    }
}

/// The `file://` URI of a local path.
impl Sources {
    /// The URI of an absolute local path; `None` of a relative one.
    pub fn file_uri(path: &Path) -> Option<String> {
        Url::from_file_path(path).ok().map(String::from)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn only_files_inside_the_roots_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let (inside, outside) = (folder.path().join("in"), folder.path().join("out"));
        for dir in [&inside, &outside] {
            fs::create_dir(dir).unwrap();
            fs::write(dir.join("a b.onnx"), "x").unwrap();
        }
        symlink(&outside, inside.join("link")).unwrap();
        let sources = Sources::new([inside.clone()]);
        let uri = |path: &Path| Sources::file_uri(path).unwrap();
        assert!(sources.locate(&uri(&inside.join("a b.onnx"))).is_ok());
        for hidden in [
            uri(&outside.join("a b.onnx")),
            uri(&inside.join("link/a b.onnx")),
            format!("{}/../out/a%20b.onnx", uri(&inside)),
            format!("{}/%2e%2e/out/a%20b.onnx", uri(&inside)),
        ] {
            assert!(matches!(sources.locate(&hidden), Err(StorageError::Outside { .. })), "{hidden}");
        }
        assert!(matches!(sources.locate(&uri(&inside.join("no"))), Err(StorageError::Unreachable { .. })));
        assert!(Sources::default().locate(&uri(&outside.join("a b.onnx"))).is_ok());
    }

    #[test]
    fn what_is_no_uri_of_ours_is_an_objection() {
        let sources = Sources::default();
        for wrong in ["", "model.onnx", "/etc/passwd", "ftp://x/y", "gopher://x", "file://host/x", "file:///a%00b"] {
            assert!(sources.objection("/model/uri", wrong).is_some(), "{wrong}");
        }
        assert_eq!(sources.objection("/model/uri", "file:///m.onnx"), None);
    }
}
