//! What a parent does not believe a child without looking.

use std::{
    collections::BTreeSet,
    path::{Component, Path},
};

use super::request::{ComputeError, Done, Output, Work};
use crate::{
    fault::{FaultCode, StableCode},
    job::Failure,
    pipeline::ShardDone,
    report::Artifact,
};

/// The most files that a result has.
const MOST_FILES: usize = 10_000;

/// What was asked for, as far as an answer to it must fit.
#[derive(Debug)]
pub(super) enum Asked {
    /// A job that may be taken apart, or whose shards come and go.
    Whole {
        apart: bool,
        streamed: bool,
    },
    Shard,
    /// The names of files that are in the store already.
    Join(BTreeSet<String>),
    Plan,
    Companions,
    Probe,
}

impl Asked {
    pub(super) fn of(work: &Work) -> Self {
        match work {
            Work::Whole { apart, streamed } => Asked::Whole { apart: apart.is_some(), streamed: *streamed },
            Work::Shard { .. } => Asked::Shard,
            Work::Join { shards, .. } => Asked::Join(shards.iter().map(|shard| shard.artifact.name.clone()).collect()),
            Work::Plan => Asked::Plan,
            Work::Companions => Asked::Companions,
            Work::Probe { .. } => Asked::Probe,
        }
    }
}

/// Whether an answer fits what was asked for, and the files that it names are files below `out`, of the size that is said, but
/// for those that are elsewhere. Their contents are the tenant's own, whatever they are.
pub(super) fn output(output: &Output, asked: &Asked, taken: &[ShardDone], out: &Path) -> Result<(), String> {
    match (output, asked) {
        (Output::Whole(job), Asked::Whole { streamed: false, .. }) => done(job, |_| false, out),
        (Output::Whole(job), Asked::Join(there)) => done(job, |name| there.contains(name), out),
        // Shards were looked at when they were taken.
        (Output::Streamed(job, shards), Asked::Whole { streamed: true, .. }) if shards == taken => {
            done(job, |name| shards.iter().any(|shard| shard.artifact.name == name), out)
        }
        (Output::Apart(shards), Asked::Whole { apart: true, .. }) if shards.len() <= MOST_FILES => Ok(()),
        (Output::Shard(done), Asked::Shard) => shard(done, out),
        (Output::Companions(names), Asked::Companions) if names.len() <= MOST_FILES => Ok(()),
        (Output::Plan(_), Asked::Plan) | (Output::Probe(_), Asked::Probe) => Ok(()),
        _ => Err("it answered something else than it was asked".to_owned()),
    }
}

/// An error of a kind that there is, of few words.
pub(super) fn error(error: ComputeError) -> ComputeError {
    const MOST_WORDS: usize = 64 << 10;
    let ComputeError { failure, needs_bytes } = error;
    let code = FaultCode::named(&failure.code);
    let short = serde_json::to_vec(&failure).is_ok_and(|text| text.len() <= MOST_WORDS);
    if code.is_some() && short {
        return ComputeError { failure, needs_bytes };
    }
    let message: String = failure.message.chars().take(1000).collect();
    let hint = failure.hint.map(|hint| hint.chars().take(1000).collect());
    let failure = Failure { hint, ..Failure::plain(code.unwrap_or(FaultCode::InternalError), message) };
    ComputeError { failure, needs_bytes }
}

/// Whether a job's figures are of a sane size, and its files there.
fn done(done: &Done, elsewhere: impl Fn(&str) -> bool, out: &Path) -> Result<(), String> {
    const MOST_FIGURES: usize = 64 << 10;
    if done.summary.to_string().len() + done.quality_gate.to_string().len() > MOST_FIGURES {
        return Err("its summary is larger than a summary is".to_owned());
    }
    all(done.artifacts.iter().filter(|artifact| !elsewhere(&artifact.name)), out)?;
    let mut names = BTreeSet::new();
    for artifact in &done.artifacts {
        name(&artifact.name)?;
        if !names.insert(&artifact.name) {
            return Err(format!("it names `{}` twice", artifact.name));
        }
        media_type(&artifact.media_type)?;
    }
    Ok(())
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
        let is_folder = |folder: &Path| folder.symlink_metadata().is_ok_and(|meta| meta.is_dir());
        let mut folders = path.ancestors().skip(1).take_while(|folder| *folder != out);
        if !meta.is_file() || !folders.all(is_folder) {
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
    // What is between two slashes is lost on the way, and to some clients the other slash is one too.
    let odd = name.contains("//") || name.chars().any(|c| c.is_control() || c == '\\');
    let fine = plain && !name.is_empty() && name.len() <= 1024 && !odd;
    if fine { Ok(()) } else { Err(format!("{name:?} is no name of a result")) }
}

/// A type and a subtype, which become a header.
fn media_type(text: &str) -> Result<(), String> {
    let word =
        |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&b));
    let fine = text.len() <= 100 && text.split_once('/').is_some_and(|(kind, subtype)| word(kind) && word(subtype));
    if fine { Ok(()) } else { Err(format!("{text:?} is no media type")) }
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
        for name in ["../secret", "/etc/passwd", "link", "up/secret", "missing", "", ".", "a\nb", "a//b", "a\\b"] {
            assert!(!believed(name, 4), "{name}");
        }
    }
}
