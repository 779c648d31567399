//! [`Stager`]: an input from wherever it is to a local path.
//!
//! Local files are used where they are. Of everything else the files come to the job's scratch folder; of a checkpoint of
//! several shards only the headers do, see [`RemoteShards`].

use std::{
    fs,
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use futures_util::{StreamExt, TryStreamExt, stream};
use url::Url;

use super::{
    Sources, StorageError,
    cache::Cache,
    fetch::Transfer,
    place::{Object, Place, ReadError},
    shards::{RemoteShards, skeleton},
    sources::Origin,
};
use crate::{
    control::{Control, Phase},
    job::Tenant,
    model::{
        companions,
        safetensors::{INDEX_SUFFIX, SUFFIX, is_other_weights},
    },
};

/// Files brought side by side.
const FILES_AT_ONCE: usize = 8;
/// The most files of a folder.
const MOST_FILES: usize = 1_000_000;

/// What an input is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// A model to be quantized.
    Model,
    /// A model to be planned: of tensors, headers are enough.
    Plan,
    /// Data: a file, or everything in a folder.
    Data,
}

/// An input on this machine.
#[derive(Debug)]
pub struct Staged {
    /// Where.
    pub path: PathBuf,
    /// The URI of exactly what was read, if it is not from here.
    pub origin: Option<String>,
    /// The shards whose files hold their headers alone so far.
    pub shards: Option<RemoteShards>,
}

/// Brings the inputs of one job.
#[derive(Debug)]
pub struct Stager<'a> {
    /// Which may be read.
    pub sources: &'a Sources,
    /// Whose job it is.
    pub tenant: &'a Tenant,
    /// The scratch folder.
    pub folder: &'a Path,
    /// What was brought before.
    pub cache: Option<&'a Cache>,
    /// Progress and cancellation.
    pub control: &'a Control<'a>,
}

/// One file to be brought.
struct Load {
    name: String,
    object: Object,
}

impl Stager<'_> {
    /// Brings an input. `role` names its folder.
    pub async fn bring(&self, role: &str, uri: &str, want: Want) -> Result<Staged, StorageError> {
        let (place, path, pinned) = match self.sources.open(self.tenant, uri).await? {
            Origin::Local(path) => return Ok(Staged { path, origin: None, shards: None }),
            Origin::Remote { place, path, uri } => (place, path, uri),
        };
        let folder = self.folder.join("inputs").join(role);
        // What an earlier attempt left may be of another version; what is not comes back from where it arrived.
        let _ = fs::remove_dir_all(&folder);
        for folder in [&folder, &self.partials()] {
            fs::create_dir_all(folder).map_err(StorageError::local(folder))?;
        }
        let source = Source { stager: self, place, uri: pinned.trim_end_matches('/').to_owned(), folder };
        let file = match path.is_empty() || uri.ends_with('/') {
            true => None,
            false => match source.ask(|| source.place.head(&path)).await {
                Ok(object) => Some(object),
                Err(StorageError::NotFound { .. }) => None,
                Err(error) => return Err(error),
            },
        };
        let below = match &file {
            Some(_) => source.uri.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned(),
            None => source.uri.clone(),
        };
        let (path, shards) = match file {
            Some(object) => source.file(&path, object, want).await?,
            None => source.folder(&path, want).await?,
        };
        if let Some(Err(error)) = self.cache.map(Cache::trim) {
            tracing::warn!(%error, "the cache of inputs could not be trimmed");
        }
        let shards = shards.map(|files| RemoteShards {
            place: Arc::clone(&source.place),
            uri: below,
            limit: self.sources.max_bytes,
            files,
            folder: source.folder.clone(),
        });
        Ok(Staged { path, origin: Some(source.uri), shards })
    }

    /// Where files arrive.
    fn partials(&self) -> PathBuf {
        self.folder.join("arriving")
    }
}

/// An input that is somewhere else.
struct Source<'a> {
    stager: &'a Stager<'a>,
    place: Arc<dyn Place>,
    uri: String,
    /// Where its files go.
    folder: PathBuf,
}

type Brought = (PathBuf, Option<Vec<(String, Object, u64)>>);

impl Source<'_> {
    fn transfer<'a>(&'a self, uri: &'a str) -> Transfer<'a> {
        let (limit, control) = (self.stager.sources.max_bytes, self.stager.control);
        Transfer { place: &*self.place, uri, limit, control, meter: None }
    }

    /// Asks the place, until the job is to stop.
    async fn ask<T, F: Future<Output = Result<T, ReadError>>>(&self, ask: impl Fn() -> F) -> Result<T, StorageError> {
        let transfer = self.transfer(&self.uri);
        transfer.watched(transfer.retried(ask)).await
    }

    /// A file, and those that it refers to.
    async fn file(&self, path: &str, object: Object, want: Want) -> Result<Brought, StorageError> {
        let name = last_name(path);
        self.check_name(&name)?;
        if want == Want::Plan && name.ends_with(SUFFIX) {
            let shards = self.skeletons(vec![Load { name: name.clone(), object }]).await?;
            return Ok((self.folder.join(name), Some(shards)));
        }
        let target = self.folder.join(&name);
        self.load(vec![Load { name: name.clone(), object }], false).await?;
        if want == Want::Data {
            return Ok((target, None));
        }
        let mut loads = Vec::new();
        for name in companions(&target)? {
            self.check_name(&name)?;
            let beside = self.place.beside(path, &name);
            let object = self.ask(|| self.place.head(&beside)).await.map_err(|error| match error {
                StorageError::NotFound { .. } => StorageError::NotFound { uri: self.uri_of(&name) },
                error => error,
            })?;
            loads.push(Load { name, object });
        }
        let shards = self.shards(loads, want).await?;
        Ok((target, shards))
    }

    /// The URI of a file beside this one.
    fn uri_of(&self, name: &str) -> String {
        self.uri.rsplit_once('/').map_or(name.to_owned(), |(folder, _)| format!("{folder}/{name}"))
    }

    /// A folder of a model, or of data.
    async fn folder(&self, path: &str, want: Want) -> Result<Brought, StorageError> {
        let mut files = self.ask(|| self.place.list(path)).await?;
        if files.is_empty() || files.len() > MOST_FILES {
            let reason = format!("{} files are more than {MOST_FILES}", files.len());
            let error = if files.is_empty() { ReadError::NotFound } else { ReadError::failed(reason) };
            return Err(error.at(&self.uri));
        }
        if want != Want::Data {
            // A model's folder has no folders, as far as we read it.
            files.retain(|(name, _)| !name.contains('/'));
        }
        files.sort_by(|a, b| a.0.cmp(&b.0));
        files.iter().try_for_each(|(name, _)| self.check_name(name))?;
        let loads = files.into_iter().map(|(name, object)| Load { name, object });
        if want == Want::Data {
            self.load(loads.collect(), true).await?;
            return Ok((self.folder.clone(), None));
        }
        let (tensors, others): (Vec<Load>, Vec<Load>) = loads.partition(|load| load.name.ends_with(SUFFIX));
        let (unused, side): (Vec<Load>, Vec<Load>) = others.into_iter().partition(|load| is_other_weights(&load.name));
        // They are not read, but it is told that they are there.
        for load in unused {
            let file = fs::File::create(self.folder.join(&load.name));
            let laid = file.and_then(|file| file.set_len(load.object.size.unwrap_or(0)));
            laid.map_err(StorageError::local(self.folder.join(&load.name)))?;
        }
        let index = side.iter().find(|load| load.name.ends_with(INDEX_SUFFIX)).map(|load| load.name.clone());
        self.load(side, true).await?;
        let mut wanted = tensors;
        if let Some(index) = index {
            let named = companions(&self.folder.join(index))?;
            wanted.retain(|load| named.contains(&load.name));
        }
        let shards = self.shards(wanted, want).await?;
        Ok((self.folder.clone(), shards))
    }

    /// Files of tensors among those that are named: of several, or where headers are enough, the headers alone.
    async fn shards(&self, loads: Vec<Load>, want: Want) -> Result<Option<Vec<(String, Object, u64)>>, StorageError> {
        let all = loads.iter().all(|load| load.name.ends_with(SUFFIX) && load.object.ranges);
        if all && (loads.len() > 1 || (want == Want::Plan && !loads.is_empty())) {
            return Ok(Some(self.skeletons(loads).await?));
        }
        self.load(loads, true).await?;
        Ok(None)
    }

    /// Files that hold the headers of shards, and for the rest nothing.
    async fn skeletons(&self, loads: Vec<Load>) -> Result<Vec<(String, Object, u64)>, StorageError> {
        let limit = self.stager.sources.max_bytes;
        let total: u64 = loads.iter().filter_map(|load| load.object.size).sum();
        if total > limit {
            return Err(StorageError::TooLarge { uri: self.uri.clone(), limit });
        }
        let transfer = self.transfer(&self.uri);
        let one = |load: Load| {
            let transfer = &transfer;
            async move {
                let header = transfer.watched(skeleton(transfer, &load.object, &self.folder.join(&load.name))).await?;
                Ok::<_, StorageError>((load.name, load.object, header))
            }
        };
        stream::iter(loads).map(one).buffered(FILES_AT_ONCE).try_collect().await
    }

    /// Brings files. Of a folder, the name of each is part of its URI.
    async fn load(&self, loads: Vec<Load>, folder: bool) -> Result<(), StorageError> {
        let total: u64 = loads.iter().filter_map(|load| load.object.size).sum();
        let limit = self.stager.sources.max_bytes;
        if total > limit {
            return Err(StorageError::TooLarge { uri: self.uri.clone(), limit });
        }
        let meter = self.stager.control.phase(Phase::Staging, total, "bytes");
        let mut missing = Vec::new();
        for load in loads {
            let uri = if folder { format!("{}/{}", self.uri, load.name) } else { self.uri.clone() };
            let target = self.folder.join(&load.name);
            if let Some(parent) = target.parent() {
                fs::create_dir_all(parent).map_err(StorageError::local(parent))?;
            }
            let cached = self.stager.cache.and_then(|cache| cache.take(&uri, &load.object, &target));
            match cached {
                Some(_) => meter.advance(load.object.size.unwrap_or(0)).map_err(|_| StorageError::Stopped)?,
                None => missing.push((uri, target, load.object)),
            }
        }
        room(&self.folder, missing.iter().filter_map(|(_, _, object)| object.size).sum())?;
        let one = |(uri, target, object): (String, PathBuf, Object)| {
            let meter = &meter;
            async move {
                let transfer = Transfer { meter: Some(meter), ..self.transfer(&uri) };
                let sha256 = transfer.bring(&object, &target, &self.stager.partials()).await?;
                if let Some(cache) = self.stager.cache {
                    cache.keep(&uri, &object, &target, &sha256);
                }
                Ok::<_, StorageError>(())
            }
        };
        stream::iter(missing).map(one).buffer_unordered(FILES_AT_ONCE).try_collect().await
    }

    /// Whether a name is one of a file below the folder, and none of ours.
    fn check_name(&self, name: &str) -> Result<(), StorageError> {
        let plain = |part: Component<'_>| match part {
            Component::Normal(part) => part.len() <= 255,
            _ => false,
        };
        let fine = !name.is_empty()
            && name.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
            && Path::new(name).components().all(plain)
            && !name.contains(['\\', '\0'])
            && !name.chars().any(char::is_control);
        if fine {
            return Ok(());
        }
        Err(StorageError::Name { uri: self.uri.clone(), name: name.escape_debug().to_string() })
    }
}

/// The last name of a path; of a URL, without its query and with its escapes undone.
fn last_name(path: &str) -> String {
    let Some(url) = path.contains("://").then(|| Url::parse(path).ok()).flatten() else {
        return path.rsplit('/').next().unwrap_or_default().to_owned();
    };
    let last = url.path_segments().and_then(Iterator::last).unwrap_or_default();
    // What decodes forms decodes paths as well, but for their plus signs and what separates the parts of a form.
    let escaped = last.replace('+', "%2B").replace('&', "%26").replace('=', "%3D");
    let mut decoded = url::form_urlencoded::parse(escaped.as_bytes());
    decoded.next().map_or(String::new(), |(name, _)| name.into_owned())
}

/// Whether a disk has room for so many bytes, with some to spare for everybody else.
pub(super) fn room(folder: &Path, needed: u64) -> Result<(), StorageError> {
    const SPARE: u64 = 16 << 20;
    let failed = |e: rustix::io::Errno| StorageError::local(folder)(e.into());
    let disk = rustix::fs::statvfs(folder).map_err(failed)?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    if needed == 0 || free >= needed.saturating_add(SPARE) {
        Ok(())
    } else {
        Err(StorageError::NoRoom { needed, free })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_file() {
        for (path, name) in [
            ("a/b c.onnx", "b c.onnx"),
            ("m.onnx", "m.onnx"),
            ("https://h/a/b%20c.onnx?x=/y", "b c.onnx"),
            ("https://h/a+b.onnx", "a+b.onnx"),
            ("https://h/..%2f..%2fetc", "../../etc"),
        ] {
            assert_eq!(last_name(path), name);
        }
    }
}
