//! [`Remote`]: one input that is somewhere else, a file or a folder, and how it comes here.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::{StreamExt, TryStreamExt, stream};

use super::{
    cache::Cache,
    companions::ReadCompanions,
    disk::check_free_space,
    names::{is_plain, last_name},
    shards::{RemoteShard, skeleton},
    transfer::Transfer,
};
use crate::{
    control::{Control, Phase},
    model::safetensors::{INDEX_SUFFIX, SUFFIX, is_other_weights},
    storage::{
        StorageError,
        places::{Object, Place, ReadError},
    },
};

/// Files brought side by side.
const FILES_AT_ONCE: usize = 8;
/// The most files of a folder.
const MOST_FILES: usize = 1_000_000;

/// One file to be brought.
struct Load {
    name: String,
    object: Object,
}

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

/// An input that is somewhere else.
pub(super) struct Remote<'a> {
    pub(super) place: Arc<dyn Place>,
    /// The URI of exactly what is read.
    pub(super) uri: String,
    /// Where its files go.
    pub(super) folder: PathBuf,
    /// Where files arrive, and stay for an attempt to come.
    pub(super) partials: PathBuf,
    /// The most bytes that all its files may have.
    pub(super) limit: u64,
    pub(super) companions: &'a dyn ReadCompanions,
    pub(super) cache: Option<&'a Cache>,
    pub(super) control: &'a Control<'a>,
    /// The SHA-256 of files that came, by their paths.
    pub(super) digests: Mutex<BTreeMap<PathBuf, String>>,
}

/// What has come here of an input.
pub(super) struct Brought {
    pub(super) path: PathBuf,
    /// The shards whose files hold their headers alone so far.
    pub(super) shards: Option<Vec<RemoteShard>>,
}

impl Remote<'_> {
    fn transfer<'a>(&'a self, uri: &'a str) -> Transfer<'a> {
        Transfer { place: &*self.place, uri, limit: self.limit, control: self.control, meter: None }
    }

    /// Asks the place, until the job is to stop.
    pub(super) async fn ask<T, F: Future<Output = Result<T, ReadError>>>(
        &self,
        ask: impl Fn() -> F,
    ) -> Result<T, StorageError> {
        let transfer = self.transfer(&self.uri);
        transfer.watched(transfer.retried(ask)).await
    }

    /// A file, and those that it refers to.
    pub(super) async fn file(&self, path: &str, object: Object, want: Want) -> Result<Brought, StorageError> {
        let name = last_name(path);
        self.check_name(&name)?;
        if want == Want::Plan && name.ends_with(SUFFIX) {
            let shards = self.skeletons(vec![Load { name: name.clone(), object }]).await?;
            return Ok(Brought { path: self.folder.join(name), shards: Some(shards) });
        }
        let target = self.folder.join(&name);
        self.load(vec![Load { name: name.clone(), object }], false).await?;
        if want == Want::Data {
            return Ok(Brought { path: target, shards: None });
        }
        let mut loads = Vec::new();
        for name in self.companions.companions(&target).await? {
            self.check_name(&name)?;
            let beside = self.place.beside(path, &name);
            let object = self.ask(|| self.place.head(&beside)).await.map_err(|error| match error {
                StorageError::NotFound { .. } => StorageError::NotFound { uri: self.uri_of(&name) },
                error => error,
            })?;
            loads.push(Load { name, object });
        }
        let shards = self.shards(loads, want).await?;
        Ok(Brought { path: target, shards })
    }

    /// The URI of a file beside this one.
    fn uri_of(&self, name: &str) -> String {
        self.uri.rsplit_once('/').map_or(name.to_owned(), |(folder, _)| format!("{folder}/{name}"))
    }

    /// A folder of a model, or of data.
    pub(super) async fn folder(&self, path: &str, want: Want) -> Result<Brought, StorageError> {
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
            return Ok(Brought { path: self.folder.clone(), shards: None });
        }
        let (tensors, others): (Vec<Load>, Vec<Load>) = loads.partition(|load| load.name.ends_with(SUFFIX));
        let (unused, side): (Vec<Load>, Vec<Load>) = others.into_iter().partition(|load| is_other_weights(&load.name));
        // They are not read, but a warning names them: so their files are here, empty.
        for load in unused {
            let file = fs::File::create(self.folder.join(&load.name));
            let laid = file.and_then(|file| file.set_len(load.object.size.unwrap_or(0)));
            laid.map_err(StorageError::local(self.folder.join(&load.name)))?;
        }
        let index = side.iter().find(|load| load.name.ends_with(INDEX_SUFFIX)).map(|load| load.name.clone());
        self.load(side, true).await?;
        let mut wanted = tensors;
        if let Some(index) = index {
            let named = self.companions.companions(&self.folder.join(index)).await?;
            wanted.retain(|load| named.contains(&load.name));
        }
        let shards = self.shards(wanted, want).await?;
        Ok(Brought { path: self.folder.clone(), shards })
    }

    /// Files of tensors among those that are named: of several, or where headers are enough, the headers alone.
    async fn shards(&self, loads: Vec<Load>, want: Want) -> Result<Option<Vec<RemoteShard>>, StorageError> {
        let all = loads.iter().all(|load| load.name.ends_with(SUFFIX) && load.object.ranges);
        if all && (loads.len() > 1 || (want == Want::Plan && !loads.is_empty())) {
            return Ok(Some(self.skeletons(loads).await?));
        }
        self.load(loads, true).await?;
        Ok(None)
    }

    /// Files that hold the headers of shards, and for the rest nothing.
    async fn skeletons(&self, loads: Vec<Load>) -> Result<Vec<RemoteShard>, StorageError> {
        self.check_size(&loads)?;
        let transfer = self.transfer(&self.uri);
        let one = |load: Load| {
            let transfer = &transfer;
            async move {
                let Load { name, object } = load;
                let header_end = transfer.watched(skeleton(transfer, &object, &self.folder.join(&name))).await?;
                Ok::<_, StorageError>(RemoteShard { name, object, header_end })
            }
        };
        stream::iter(loads).map(one).buffered(FILES_AT_ONCE).try_collect().await
    }

    /// Brings files. Of a folder, the name of each is part of its URI.
    async fn load(&self, loads: Vec<Load>, folder: bool) -> Result<(), StorageError> {
        let total = self.check_size(&loads)?;
        let meter = self.control.phase(Phase::Staging, total, "bytes");
        let mut missing = Vec::new();
        for load in loads {
            let uri = if folder { format!("{}/{}", self.uri, load.name) } else { self.uri.clone() };
            let target = self.folder.join(&load.name);
            if let Some(parent) = target.parent() {
                fs::create_dir_all(parent).map_err(StorageError::local(parent))?;
            }
            let cached = self.cache.and_then(|cache| cache.take(&uri, &load.object, &target));
            match cached {
                Some(sha256) => {
                    self.note_digest(target, sha256);
                    meter.advance(load.object.size.unwrap_or(0)).map_err(|_| StorageError::Stopped)?;
                }
                None => missing.push((uri, target, load.object)),
            }
        }
        check_free_space(&self.folder, missing.iter().filter_map(|(_, _, object)| object.size).sum())?;
        let one = |(uri, target, object): (String, PathBuf, Object)| {
            let meter = &meter;
            async move {
                let transfer = Transfer { meter: Some(meter), ..self.transfer(&uri) };
                let sha256 = transfer.bring(&object, &target, &self.partials).await?;
                if let Some(cache) = self.cache {
                    cache.keep(&uri, &object, &target, &sha256);
                }
                self.note_digest(target, sha256);
                Ok::<_, StorageError>(())
            }
        };
        stream::iter(missing).map(one).buffer_unordered(FILES_AT_ONCE).try_collect().await
    }

    fn note_digest(&self, path: PathBuf, sha256: String) {
        self.digests.lock().unwrap_or_else(PoisonError::into_inner).insert(path, sha256);
    }

    /// The bytes of some files, if they are not too many.
    fn check_size(&self, loads: &[Load]) -> Result<u64, StorageError> {
        let total = loads.iter().filter_map(|load| load.object.size).sum();
        if total > self.limit {
            return Err(StorageError::TooLarge { uri: self.uri.clone(), limit: self.limit });
        }
        Ok(total)
    }

    fn check_name(&self, name: &str) -> Result<(), StorageError> {
        if is_plain(name) {
            return Ok(());
        }
        Err(StorageError::Name { uri: self.uri.clone(), name: name.escape_debug().to_string() })
    }
}
