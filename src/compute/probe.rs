//! What a child tries that it should not be able to do: so that it is known, and not believed, that it cannot.

use std::{
    fs::{self, File},
    io,
    net::UdpSocket,
    path::{Path, PathBuf},
    process::Command,
};

use serde::{Deserialize, Serialize};

/// Something that a child tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// What it tried, as "can" is followed by it.
    pub what: String,
    /// Whether it was kept from it.
    pub refused: bool,
}

/// Tries everything, and to read `files`.
pub(super) fn attempt(files: &[PathBuf]) -> Vec<Attempt> {
    let mut attempts = vec![
        tried("read files that are not its job's", File::open("/etc/passwd").map(drop)),
        tried("read about other processes", fs::read("/proc/1/status").map(drop)),
        tried("write files that are not its job's", written(&std::path::PathBuf::from("/tmp"))),
        tried("open a socket", UdpSocket::bind(("127.0.0.1", 0)).map(drop)),
        tried("start a program", Command::new("/nonexistent/program").spawn().map(drop)),
        tried("change who may read a file", changed(Path::new("/tmp"))),
        tried("limit its parent", limited()),
    ];
    attempts.push(Attempt { what: "run a thread that is not confined".to_owned(), refused: all_filtered() });
    attempts.extend(files.iter().map(|file| tried(&format!("read {}", file.display()), File::open(file).map(drop))));
    attempts
}

/// Whether every thread of this process has a filter of system calls, by the kernel's word.
fn all_filtered() -> bool {
    let tasks: Vec<_> = fs::read_dir("/proc/self/task").into_iter().flatten().flatten().collect();
    let filtered = |status: String| status.lines().any(|line| line.replace('\t', "") == "Seccomp:2");
    !tasks.is_empty() && tasks.iter().all(|task| fs::read_to_string(task.path().join("status")).is_ok_and(filtered))
}

/// Gives a folder the rights that it has.
fn changed(folder: &Path) -> io::Result<()> {
    let mode = rustix::fs::Mode::from_raw_mode(0o1777);
    Ok(rustix::fs::chmod(folder, mode)?)
}

/// Gives its parent the limit that it has.
fn limited() -> io::Result<()> {
    let parent = rustix::process::getppid();
    let none = rustix::process::Rlimit { current: None, maximum: None };
    Ok(rustix::process::prlimit(parent, rustix::process::Resource::Core, none).map(drop)?)
}

/// Makes a file and removes it.
fn written(folder: &Path) -> io::Result<()> {
    let path = folder.join(format!("ptqd-probe-{}", std::process::id()));
    File::create_new(&path)?;
    fs::remove_file(&path)
}

fn tried(what: &str, outcome: io::Result<()>) -> Attempt {
    let refused = outcome.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied);
    Attempt { what: what.to_owned(), refused }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_nothing_is_refused_the_probe_says_so() {
        let attempts = attempt(&["/etc/hostname".into()]);
        assert_eq!(attempts.len(), 9);
        // Not confined: a test's process opens sockets and starts programs.
        let open: Vec<&str> = attempts.iter().filter(|a| !a.refused).map(|a| a.what.as_str()).collect();
        assert!(open.contains(&"open a socket") && open.contains(&"start a program"), "{open:?}");
    }
}
