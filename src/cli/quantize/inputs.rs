//! [`Inputs`]: the inputs of `ptqd quantize`, from paths or from URIs.

use std::{collections::BTreeMap, error::Error, path::PathBuf};

use tempfile::TempDir;

use crate::{
    cli::{block_on, watch::Watcher},
    config::hub_token,
    control::{Canceller, Control, Notice},
    fault::chain,
    job::Tenant,
    outbound::Guard,
    storage::{HubConfig, ReadHere, RemoteShards, Sources, Stager, StorageError, Want},
};

/// Brings inputs. What is not on this machine goes to a folder that ends with this.
#[derive(Debug)]
pub(super) struct Inputs {
    sources: Sources,
    folder: Option<TempDir>,
    /// Where they were brought from, by role.
    pub(super) origins: BTreeMap<&'static str, String>,
    /// The SHA-256 of files that were brought.
    pub(super) digests: BTreeMap<PathBuf, String>,
    /// Shards of the model that are still to be brought.
    pub(super) shards: Option<RemoteShards>,
}

/// Why an input is not here.
#[derive(Debug, thiserror::Error)]
#[error("{}", chain(.0))]
pub(super) struct NotBrought(pub(super) StorageError);

impl Inputs {
    /// Whoever runs this program may talk to whatever the machine may.
    pub(super) fn new(hub_endpoint: &str) -> Self {
        let hub = HubConfig { endpoint: hub_endpoint.to_owned(), token: hub_token() };
        let sources = Sources { guard: Guard { private: true }, hub, ..Sources::default() };
        Inputs { sources, folder: None, origins: BTreeMap::new(), digests: BTreeMap::new(), shards: None }
    }

    /// The local path of an input.
    pub(super) fn bring(
        &mut self,
        role: &'static str,
        given: &str,
        want: Want,
        canceller: &Canceller,
    ) -> Result<PathBuf, Box<dyn Error>> {
        if !given.contains("://") {
            return Ok(given.into());
        }
        let folder = match self.folder.take() {
            Some(folder) => folder,
            None => tempfile::Builder::new().prefix("ptqd-inputs-").tempdir()?,
        };
        let folder = self.folder.insert(folder);
        let watcher = Watcher::new();
        let notify = |notice: Notice| watcher.show(&notice);
        let control = Control::new(&notify, canceller);
        let tenant = Tenant::default();
        let stager = Stager {
            sources: &self.sources,
            tenant: &tenant,
            folder: folder.path(),
            companions: &ReadHere,
            cache: None,
            control: &control,
        };
        let brought = block_on(stager.bring(role, given, want))?;
        watcher.finish();
        let staged = brought.map_err(NotBrought)?;
        self.digests.extend(staged.digests);
        self.shards = self.shards.take().or(staged.shards);
        self.origins.extend(staged.origin.map(|origin| (role, origin)));
        Ok(staged.path)
    }
}
