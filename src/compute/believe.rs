//! What a parent does not believe a child without looking.

use std::{
    collections::BTreeSet,
    path::{Component, Path},
};

use super::{
    request::{Output, Work},
    work::is_folder,
};
use crate::{pipeline::ShardDone, report::Artifact};

/// The most files that a result has.
const MOST_FILES: usize = 10_000;

/// Whether the files that a result names are files below `out`, and of the size that is said, but for those that are
/// `elsewhere`. Their contents are the tenant's own, whatever they are.
pub(super) fn output(output: &Output, elsewhere: &BTreeSet<String>, out: &Path) -> Result<(), String> {
    match output {
        Output::Whole(done) => all(done.artifacts.iter().filter(|artifact| !elsewhere.contains(&artifact.name)), out),
        // Shards were looked at when they were taken.
        Output::Streamed(done, shards) => {
            let taken = |artifact: &&Artifact| !shards.iter().any(|shard| shard.artifact.name == artifact.name);
            shards.iter().try_for_each(|shard| name(&shard.artifact.name))?;
            all(done.artifacts.iter().filter(taken), out)
        }
        Output::Shard(done) => shard(done, out),
        Output::Companions(names) if names.len() > MOST_FILES => Err(format!("it names more than {MOST_FILES} files")),
        Output::Companions(_) | Output::Apart(_) | Output::Plan(_) | Output::Probe(_) => Ok(()),
    }
}

/// The names of files of a result that are in the store already.
pub(super) fn elsewhere(work: &Work) -> BTreeSet<String> {
    match work {
        Work::Join { shards, .. } => shards.iter().map(|shard| shard.artifact.name.clone()).collect(),
        _ => BTreeSet::new(),
    }
}

/// Whether the file of a shard is one.
pub(super) fn shard(done: &ShardDone, out: &Path) -> Result<(), String> {
    all([&done.artifact], out)
}

fn all<'a>(artifacts: impl IntoIterator<Item = &'a Artifact>, out: &Path) -> Result<(), String> {
    for (count, artifact) in artifacts.into_iter().enumerate() {
        if count >= MOST_FILES {
            return Err(format!("it names more than {MOST_FILES} files"));
        }
        name(&artifact.name)?;
        let path = out.join(&artifact.name);
        let meta = path.symlink_metadata().map_err(|error| format!("`{}`: {error}", artifact.name))?;
        // Neither the file nor a folder on the way to it may be a link.
        let folders = path.ancestors().skip(1).take_while(|folder| *folder != out);
        if !meta.is_file() || !folders.map(is_folder).fold(true, |all, one| all && one) {
            return Err(format!("`{}` is not a file", artifact.name));
        }
        if meta.len() != artifact.size {
            return Err(format!("`{}` has {} bytes and not {}", artifact.name, meta.len(), artifact.size));
        }
    }
    Ok(())
}

/// A relative path that goes down, of a sane length.
fn name(name: &str) -> Result<(), String> {
    let plain = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
    let fine = plain && !name.is_empty() && name.len() <= 1024 && !name.chars().any(char::is_control);
    if fine { Ok(()) } else { Err(format!("{name:?} is no name of a result")) }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn artifact(name: &str, size: u64) -> Artifact {
        Artifact { name: name.to_owned(), size, sha256: None, media_type: String::new() }
    }

    #[test]
    fn only_files_below_the_folder_of_the_size_that_is_said_are_believed() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        fs::create_dir(&out).unwrap();
        fs::write(out.join("model.onnx"), "1234").unwrap();
        fs::write(folder.path().join("secret"), "1234").unwrap();
        std::os::unix::fs::symlink("../secret", out.join("link")).unwrap();
        std::os::unix::fs::symlink("..", out.join("up")).unwrap();
        let believed = |name: &str, size| all([&artifact(name, size)], &out).is_ok();
        assert!(believed("model.onnx", 4));
        assert!(!believed("model.onnx", 5));
        for name in ["../secret", "/etc/passwd", "link", "up/secret", "missing", "", ".", "a\nb"] {
            assert!(!believed(name, 4), "{name}");
        }
    }
}
