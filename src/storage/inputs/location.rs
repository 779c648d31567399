//! [`Location`]: what a URI names. The one place that knows schemes.
//!
//! By its text alone: nothing is resolved or opened here.

use std::path::PathBuf;

use object_store::path::Path as Key;
use url::Url;

use crate::storage::{StorageError, places::HubPath};

/// The schemes of URIs.
pub const SCHEMES: [&str; 8] = ["az", "file", "gs", "hf", "http", "https", "s3", "upload"];

/// Parameters that carry a secret in the URLs that stores sign or services hand out.
const SECRETS: [&str; 14] = [
    "access_token",
    "api_key",
    "apikey",
    "auth",
    "key",
    "password",
    "sig",
    "signature",
    "token",
    "x-amz-credential",
    "x-amz-security-token",
    "x-amz-signature",
    "x-goog-credential",
    "x-goog-signature",
];

/// What a URI names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Location {
    /// A file or folder of this machine.
    File(PathBuf),
    /// A key, or a prefix of keys, in a bucket.
    Bucket {
        /// `s3`, `gs` or `az`.
        scheme: &'static str,
        /// The bucket or container.
        bucket: String,
        /// The path in it: of an object, or of what is before those of a folder.
        key: Key,
    },
    /// A file on a web server.
    Web(Url),
    /// A file, a folder or the whole of a repository on a model hub.
    Hub(HubPath),
    /// What the tenant has uploaded.
    Upload(Key),
}

impl Location {
    /// Reads a URI; an error where its scheme is unknown or its path is malformed.
    pub(super) fn parse(uri: &str) -> Result<Self, StorageError> {
        const LONGEST: usize = 2000;
        let malformed = |reason: &str| StorageError::Malformed { uri: uri.to_owned(), reason: reason.to_owned() };
        if uri.len() > LONGEST {
            return Err(StorageError::Malformed {
                uri: format!("{}…", uri.chars().take(40).collect::<String>()),
                reason: format!("it is longer than {LONGEST} bytes"),
            });
        }
        if uri.chars().any(char::is_control) || uri.trim() != uri {
            return Err(malformed("it holds a control character, or a space at an end"));
        }
        let (scheme, rest) = uri.split_once(':').ok_or_else(|| malformed("it has no scheme"))?;
        let plain = || rest.strip_prefix("//").ok_or_else(|| malformed("`//` must follow the scheme"));
        match scheme.to_ascii_lowercase().as_str() {
            "file" => local(uri),
            "s3" => bucket(uri, "s3", plain()?),
            "gs" => bucket(uri, "gs", plain()?),
            "az" => bucket(uri, "az", plain()?),
            "http" | "https" => web(uri),
            "hf" => hub(uri, plain()?),
            "upload" => Ok(Location::Upload(key(uri, plain()?)?)),
            other => Err(StorageError::Scheme { scheme: other.chars().take(20).collect() }),
        }
    }

    /// The one spelling of it that rules are compared with.
    pub(super) fn canonical(&self) -> String {
        match self {
            Location::File(path) => format!("file://{}", path.display()),
            Location::Bucket { scheme, bucket, key } => format!("{scheme}://{bucket}/{key}"),
            Location::Web(url) => url.to_string(),
            Location::Hub(HubPath { kind, repository, path, .. }) => {
                let kind = if *kind == "models" { "" } else { "datasets/" };
                format!("hf://{kind}{repository}/{path}")
            }
            Location::Upload(key) => format!("upload://{key}"),
        }
    }
}

fn local(uri: &str) -> Result<Location, StorageError> {
    let malformed = |reason: String| StorageError::Malformed { uri: uri.to_owned(), reason };
    let url = Url::parse(uri).map_err(|e| malformed(e.to_string()))?;
    let path = url.to_file_path();
    let path = path.map_err(|()| malformed("a file:// URI has no host and an absolute path".to_owned()))?;
    if path.as_os_str().as_encoded_bytes().contains(&0) {
        return Err(malformed("the path holds a zero byte".to_owned()));
    }
    Ok(Location::File(path))
}

/// A key: names between slashes, none of which leads elsewhere.
fn key(uri: &str, text: &str) -> Result<Key, StorageError> {
    let malformed = |reason: String| StorageError::Malformed { uri: uri.to_owned(), reason };
    if text.contains(['?', '#', '\\']) {
        return Err(malformed("`?`, `#` and `\\` cannot be part of a key here".to_owned()));
    }
    let text = text.strip_suffix('/').unwrap_or(text);
    if text.starts_with('/') || text.ends_with('/') {
        return Err(malformed("a key has no empty parts".to_owned()));
    }
    let key = Key::parse(text).map_err(|e| malformed(e.to_string()))?;
    if key.parts().any(|part| matches!(part.as_ref(), "." | "..")) {
        return Err(malformed("a key has no `.` or `..`".to_owned()));
    }
    Ok(key)
}

fn bucket(uri: &str, scheme: &'static str, rest: &str) -> Result<Location, StorageError> {
    let malformed = |reason: &str| StorageError::Malformed { uri: uri.to_owned(), reason: reason.to_owned() };
    let (bucket, below) = rest.split_once('/').unwrap_or((rest, ""));
    if bucket.contains('@') {
        return Err(StorageError::credentials(uri));
    }
    let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let inner = |b: u8| letter(b) || matches!(b, b'.' | b'-' | b'_');
    let ends = |text: &str| text.bytes().next().is_some_and(letter) && text.bytes().last().is_some_and(letter);
    if !(3..=63).contains(&bucket.len()) || !bucket.bytes().all(inner) || !ends(bucket) || bucket.contains("..") {
        return Err(malformed("a bucket's name has 3 to 63 small letters, digits, dots, dashes or underscores"));
    }
    let key = key(uri, below)?;
    if key.as_ref().is_empty() {
        return Err(malformed("it names a bucket, and nothing in it"));
    }
    Ok(Location::Bucket { scheme, bucket: bucket.to_owned(), key })
}

fn web(uri: &str) -> Result<Location, StorageError> {
    let malformed = |reason: String| StorageError::Malformed { uri: uri.to_owned(), reason };
    let url = Url::parse(uri).map_err(|e| malformed(e.to_string()))?;
    let secret = |name: &str| SECRETS.contains(&name.to_ascii_lowercase().as_str());
    if !url.username().is_empty() || url.password().is_some() || url.query_pairs().any(|(name, _)| secret(&name)) {
        return Err(StorageError::credentials(uri));
    }
    if url.fragment().is_some() {
        return Err(malformed("a fragment (`#…`) names nothing on a server".to_owned()));
    }
    if url.path().ends_with('/') {
        return Err(malformed("a web server has no folders: name a file, such as an index of shards".to_owned()));
    }
    Ok(Location::Web(url))
}

fn hub(uri: &str, rest: &str) -> Result<Location, StorageError> {
    let malformed = |reason: &str| StorageError::Malformed { uri: uri.to_owned(), reason: reason.to_owned() };
    let (kind, rest) = match rest.strip_prefix("datasets/") {
        Some(rest) => ("datasets", rest),
        None => ("models", rest.strip_prefix("models/").unwrap_or(rest)),
    };
    let mut parts = rest.splitn(3, '/');
    let (owner, name, below) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""), parts.next().unwrap_or(""));
    let (name, revision) = name.split_once('@').map_or((name, None), |(name, revision)| (name, Some(revision)));
    let named = |text: &str| {
        let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        (1..=96).contains(&text.len())
            && text.bytes().all(inner)
            && !text.starts_with(['.', '-'])
            && !text.contains("..")
    };
    if !named(owner) || !named(name) {
        return Err(malformed("it is hf://owner/name[@revision][/path]"));
    }
    // A reference with slashes is written with %2F, as the hub's own clients do.
    let revision = revision.map(|revision| revision.replace("%2F", "/").replace("%2f", "/"));
    if revision.as_ref().is_some_and(|revision| revision.len() > 200 || !revision.split('/').all(named)) {
        return Err(malformed("the revision is no branch, tag or commit"));
    }
    Ok(Location::Hub(HubPath { kind, repository: format!("{owner}/{name}"), revision, path: key(uri, below)? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scheme_is_read() {
        for (uri, canonical) in [
            ("file:///a%20b.onnx", "file:///a b.onnx"),
            ("s3://models/a/b c.onnx", "s3://models/a/b c.onnx"),
            ("gs://models/llama/", "gs://models/llama"),
            ("az://container/x", "az://container/x"),
            ("https://EXAMPLE.com/x/../m.onnx?download=1", "https://example.com/m.onnx?download=1"),
            ("hf://owner/name", "hf://owner/name/"),
            ("hf://owner/name@refs%2Fpr%2F1/onnx/model.onnx", "hf://owner/name/onnx/model.onnx"),
            ("hf://datasets/owner/name@v1/x.npz", "hf://datasets/owner/name/x.npz"),
            ("upload://folder/x.npz", "upload://folder/x.npz"),
        ] {
            assert_eq!(Location::parse(uri).unwrap().canonical(), canonical, "{uri}");
        }
        let Location::Hub(hub) = Location::parse("hf://a/b@refs%2Fpr%2F1").unwrap() else { panic!() };
        assert_eq!(hub.revision.as_deref(), Some("refs/pr/1"));
    }

    #[test]
    fn what_is_no_uri_of_ours_says_why() {
        for (uri, code) in [
            ("", "uri_malformed"),
            ("model.onnx", "uri_malformed"),
            ("/etc/passwd", "uri_malformed"),
            (" s3://bucket/x", "uri_malformed"),
            ("s3://bucket/x\n", "uri_malformed"),
            ("s3:bucket/x", "uri_malformed"),
            ("s3://b/x", "uri_malformed"),
            ("s3://bucket", "uri_malformed"),
            ("s3://bucket/", "uri_malformed"),
            ("s3://bucket/../x", "uri_malformed"),
            ("s3://bucket/a//b", "uri_malformed"),
            ("s3://bucket/./x", "uri_malformed"),
            ("s3://bucket/x?versionId=1", "uri_malformed"),
            ("s3://bucket/a\\..\\b", "uri_malformed"),
            ("s3://../x", "uri_malformed"),
            ("s3://BUCKET/x", "uri_malformed"),
            ("s3://bucket.evil.com:80/x", "uri_malformed"),
            ("s3://key:secret@bucket/x", "uri_has_credentials"),
            ("gs://bucket%2f..%2fother/x", "uri_malformed"),
            ("https://user:pw@host/x", "uri_has_credentials"),
            ("https://host/x?X-Amz-Signature=1", "uri_has_credentials"),
            ("https://host/x?a=1&sig=2", "uri_has_credentials"),
            ("https://host/folder/", "uri_malformed"),
            ("https://", "uri_malformed"),
            ("hf://owner", "uri_malformed"),
            ("hf://../name", "uri_malformed"),
            ("hf://owner/name@../../x", "uri_malformed"),
            ("hf://owner/name/../x", "uri_malformed"),
            ("hf://token@host/owner/name", "uri_malformed"),
            ("file://host/x", "uri_malformed"),
            ("file:///a%00b", "uri_malformed"),
            ("upload://../other/x", "uri_malformed"),
            ("upload:x", "uri_malformed"),
            ("ftp://x/y", "uri_scheme_unsupported"),
            ("gopher://x", "uri_scheme_unsupported"),
            ("data:text/plain,x", "uri_scheme_unsupported"),
            ("javascript:alert(1)", "uri_scheme_unsupported"),
        ] {
            let error = Location::parse(uri).map(|location| location.canonical()).unwrap_err();
            assert_eq!(crate::fault::Fault::code(&error).name(), code, "{uri}: {error}");
        }
        assert!(Location::parse(&format!("s3://bucket/{}", "x".repeat(3000))).is_err());
    }
}
