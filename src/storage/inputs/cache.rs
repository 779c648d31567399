//! [`Cache`]: inputs that were brought here before, by their digests.
//!
//! `objects/<sha256>` are the files, `names/<digest of URI, size and version>` say which of them a URI was last time. A job
//! that uses one has a link to it of its own: to remove one from the cache takes nothing from anybody. `statistics/<tenant>/` is for
//! what calibrations saw; who writes there names the files.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use crate::{digest::sha256_hex, files::write_whole, job::Tenant, storage::places::Object};

/// The cache of a data folder. Any number of processes may share it.
#[derive(Clone, Debug)]
pub struct Cache {
    objects: PathBuf,
    names: PathBuf,
    statistics: PathBuf,
    limit: u64,
}

impl Cache {
    /// In a folder on the same disk as the scratch space, with at most `limit` bytes.
    pub fn open(folder: &Path, limit: u64) -> io::Result<Self> {
        let cache = Cache {
            objects: folder.join("objects"),
            names: folder.join("names"),
            statistics: folder.join("statistics"),
            limit,
        };
        for folder in [&cache.objects, &cache.names, &cache.statistics] {
            fs::create_dir_all(folder)?;
        }
        Ok(cache)
    }

    /// The folder for what a tenant's calibrations saw; none if it cannot be made. What is written there counts. It is the
    /// tenant's own: its jobs write there what they like, and nobody learns what others ran.
    pub fn statistics(&self, tenant: &Tenant) -> Option<PathBuf> {
        let folder = self.statistics.join(sha256_hex(tenant.as_str().as_bytes()));
        fs::create_dir_all(&folder).ok()?;
        Some(folder)
    }

    /// The name that a version of a file has here; none of one whose versions look the same.
    fn name(&self, uri: &str, object: &Object) -> Option<PathBuf> {
        let tag = object.tag.as_ref()?;
        Some(self.names.join(sha256_hex(format!("{uri}\n{:?}\n{tag}", object.size).as_bytes())))
    }

    /// Puts a file that is here at `target`. Its SHA-256.
    pub(super) fn take(&self, uri: &str, object: &Object, target: &Path) -> Option<String> {
        let sha256 = fs::read_to_string(self.name(uri, object)?).ok()?;
        let cached = self.objects.join(&sha256);
        // Whatever an earlier attempt left there.
        let _ = fs::remove_file(target);
        fs::hard_link(&cached, target).ok()?;
        // What was used last is removed last.
        let _ = File::open(&cached).and_then(|file| file.set_modified(SystemTime::now()));
        Some(sha256)
    }

    /// Caches a file that was brought. One that cannot be cached is brought again the next time, and that is all.
    pub(super) fn keep(&self, uri: &str, object: &Object, path: &Path, sha256: &str) {
        let Some(name) = self.name(uri, object) else { return };
        if fs::metadata(path).map_or(u64::MAX, |metadata| metadata.len()) > self.limit {
            return;
        }
        let cached = self.objects.join(sha256);
        let linked = match fs::hard_link(path, &cached) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        };
        if let Err(error) = linked.and_then(|()| write_whole(&name, sha256)) {
            tracing::debug!(%error, uri, "an input was not cached");
        }
    }

    /// Objects and statistics.
    fn files(&self) -> io::Result<impl Iterator<Item = io::Result<fs::DirEntry>>> {
        let tenants = fs::read_dir(&self.statistics)?.flatten();
        let statistics = tenants.flat_map(|tenant| fs::read_dir(tenant.path()).into_iter().flatten());
        Ok(fs::read_dir(&self.objects)?.chain(statistics))
    }

    /// Removes what was used longest ago, until the rest is within the limit.
    pub(super) fn trim(&self) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in self.files()? {
            let entry = entry?;
            // Another process may be trimming as well.
            if let Ok(metadata) = entry.metadata() {
                files.push((metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH), metadata.len(), entry.path()));
            }
        }
        files.sort();
        let mut bytes: u64 = files.iter().map(|(_, size, _)| size).sum();
        let before = bytes;
        for (_, size, path) in files {
            if bytes <= self.limit {
                break;
            }
            if fs::remove_file(path).is_ok() {
                bytes -= size;
            }
        }
        if bytes < before {
            for entry in fs::read_dir(&self.names)? {
                let path = entry?.path();
                let gone = fs::read_to_string(&path).is_ok_and(|sha256| !self.objects.join(sha256).exists());
                let _ = if gone { fs::remove_file(path) } else { Ok(()) };
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_was_used_last_stays_within_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(&folder.path().join("cache"), 25).unwrap();
        let object = |tag: Option<&str>| Object { size: Some(10), tag: tag.map(str::to_owned), ..Object::default() };
        let file = folder.path().join("file");
        for (n, uri) in ["s3://b/0", "s3://b/1", "s3://b/2"].into_iter().enumerate() {
            fs::write(&file, [n as u8; 10]).unwrap();
            cache.keep(uri, &object(Some("v1")), &file, &format!("digest{n}"));
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(n as u64);
            File::open(cache.objects.join(format!("digest{n}"))).unwrap().set_modified(time).unwrap();
            fs::remove_file(&file).unwrap();
        }
        let target = folder.path().join("target");
        assert_eq!(cache.take("s3://b/0", &object(Some("v1")), &target).as_deref(), Some("digest0"));
        cache.trim().unwrap();
        assert_eq!(cache.take("s3://b/1", &object(Some("v1")), &target), None, "the oldest of three");
        assert_eq!(cache.take("s3://b/2", &object(Some("v1")), &target).as_deref(), Some("digest2"));
        assert_eq!(fs::read(&target).unwrap(), [2; 10]);
        assert_eq!(cache.take("s3://b/2", &object(Some("v2")), &target), None, "another version");
        assert_eq!(cache.take("s3://b/2", &object(None), &target), None, "no version");
        assert_eq!(fs::read_dir(&cache.names).unwrap().count(), 2);
        fs::write(&file, [0; 30]).unwrap();
        cache.keep("s3://b/3", &object(Some("v1")), &file, "large");
        assert!(!cache.objects.join("large").exists());
    }

    #[test]
    fn statistics_are_a_tenants_own_and_are_trimmed_with_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(&folder.path().join("cache"), 25).unwrap();
        let [mine, other] = ["mine", ".."].map(|name| cache.statistics(&name.parse().unwrap()).unwrap());
        assert_ne!(mine, other);
        for (n, folder) in [&mine, &other].into_iter().enumerate() {
            assert_eq!(folder.parent(), Some(&*cache.statistics));
            let record = folder.join("x.json");
            fs::write(&record, [0; 20]).unwrap();
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(n as u64);
            File::options().write(true).open(record).unwrap().set_modified(time).unwrap();
        }
        cache.trim().unwrap();
        assert_eq!((mine.join("x.json").exists(), other.join("x.json").exists()), (false, true));
    }
}
