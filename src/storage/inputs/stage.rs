//! [`Stager`]: an input from wherever it is to a local path.
//!
//! Local files are used where they are. Of everything else the files come to the job's scratch folder; of a checkpoint of
//! several shards only the headers do, see [`RemoteShards`].

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    cache::Cache,
    companions::ReadCompanions,
    remote::{Brought, Remote, Want},
    shards::RemoteShards,
    sources::{Origin, Sources},
};
use crate::{
    control::Control,
    job::Tenant,
    storage::{StorageError, places::Paced},
};

/// An input on this machine.
#[derive(Debug)]
pub struct Staged {
    /// The file or folder; the input itself if it was on this machine before.
    pub path: PathBuf,
    /// The URI of exactly what was read, if it is not from here.
    pub origin: Option<String>,
    /// The SHA-256 of each file that came whole, by its path.
    pub digests: BTreeMap<PathBuf, String>,
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
    /// The scratch folder of the attempt, which inputs are brought into.
    pub folder: &'a Path,
    /// What reads which files a model refers to.
    pub companions: &'a dyn ReadCompanions,
    /// What was brought before.
    pub cache: Option<&'a Cache>,
    /// Where progress is reported, and what says that the job is cancelled.
    pub control: &'a Control<'a>,
}

impl Stager<'_> {
    /// Brings an input. `role` names its folder.
    pub async fn bring(&self, role: &str, uri: &str, want: Want) -> Result<Staged, StorageError> {
        let (place, path, pinned) = match self.sources.open(self.tenant, uri).await? {
            Origin::Local(path) => return Ok(Staged { path, origin: None, digests: BTreeMap::new(), shards: None }),
            Origin::Remote { place, path, uri } => (place, path, uri),
        };
        let place = Arc::new(Paced { inner: place, pace: self.sources.patience.pace });
        let folder = self.folder.join("inputs").join(role);
        // What an earlier attempt left may be of another version; what is not comes back from where it arrived.
        let _ = fs::remove_dir_all(&folder);
        let partials = self.folder.join("arriving");
        for folder in [&folder, &partials] {
            fs::create_dir_all(folder).map_err(StorageError::local(folder))?;
        }
        let limit = self.sources.max_bytes;
        let (cache, control, companions) = (self.cache, self.control, self.companions);
        let uri_read = pinned.trim_end_matches('/').to_owned();
        let remote = Remote {
            place,
            uri: uri_read,
            folder,
            partials,
            limit,
            companions,
            cache,
            control,
            digests: Mutex::default(),
        };
        let file = match path.is_empty() || uri.ends_with('/') {
            true => None,
            false => match remote.ask(|| remote.place.head(&path)).await {
                Ok(object) => Some(object),
                Err(StorageError::NotFound { .. }) => None,
                Err(error) => return Err(error),
            },
        };
        let below = match &file {
            Some(_) => remote.uri.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned(),
            None => remote.uri.clone(),
        };
        let Brought { path, shards } = match file {
            Some(object) => remote.file(&path, object, want).await?,
            None => remote.folder(&path, want).await?,
        };
        if let Some(Err(error)) = self.cache.map(Cache::trim) {
            tracing::warn!(%error, "the cache of inputs could not be trimmed");
        }
        let shards = shards.map(|files| RemoteShards {
            place: Arc::clone(&remote.place),
            uri: below,
            limit,
            files,
            folder: remote.folder.clone(),
        });
        let digests = remote.digests.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(Staged { path, origin: Some(remote.uri), digests, shards })
    }
}
