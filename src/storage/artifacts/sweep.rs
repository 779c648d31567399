//! Removing artifacts, and what was never finished.

use std::{fs, path::Path};

use futures_util::StreamExt;
use object_store::{ObjectStoreExt, path::Path as Key};

use super::store::{Artifacts, Kind};

impl Artifacts {
    /// Removes everything under a prefix.
    pub async fn discard(&self, prefix: &str) {
        self.keep_only(prefix, &[]).await;
    }

    /// Removes everything under a prefix but these keys, and abandons what was being uploaded there.
    pub async fn keep_only(&self, prefix: &str, used: &[String]) {
        if let Kind::Bucket(bucket) = &self.kind {
            bucket.sweep_uploads(prefix, |_| true).await;
        }
        let mut keys = self.store().list(Some(&Key::from(prefix)));
        while let Some(Ok(meta)) = keys.next().await {
            if used.iter().any(|key| Key::from(key.as_str()) == meta.location) {
                continue;
            }
            if let Err(error) = self.store().delete(&meta.location).await {
                tracing::warn!(key = %meta.location, %error, "an orphaned artifact could not be removed");
            }
        }
        if let Kind::Local { folder, .. } = &self.kind {
            sweep_staged(&folder.join(prefix));
        }
    }
}

/// Removes what a process that was killed left of uploads to a local store: files that end in `#` and a number, which the
/// store does not list, and folders that are empty without them.
fn sweep_staged(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let name = entry.file_name();
        let staged = name.to_str().and_then(|name| name.rsplit_once('#'));
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            sweep_staged(&path);
        } else if staged.is_some_and(|(_, number)| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())) {
            let _ = fs::remove_file(&path);
        }
    }
    // Fails on one that is not empty, as it should.
    let _ = fs::remove_dir(folder);
}
