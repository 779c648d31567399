//! [`Cell`]: a child process, as its parent holds it.

use std::{
    io,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use serde::de::DeserializeOwned;
use tokio::{
    io::{AsyncReadExt, BufReader},
    process::{Child, ChildStderr, ChildStdin, Command},
    sync::mpsc,
    task::JoinHandle,
};

use super::{
    frame,
    protocol::{FromChild, ToChild},
};

/// Messages that wait for the parent; then the child waits.
const WAITING: usize = 1;
/// Bytes of all messages of one child.
const MOST_SAID: u64 = 128 << 20;
/// The longest that a child may leave what it is told unread.
const DEAF: Duration = Duration::from_secs(10);
/// Bytes of what a child printed that are looked at: the last ones.
const LAST_WORDS: usize = 8 << 10;

/// What the allocator of a process that has run for long has found out by itself: blocks of up to 32 MiB are kept for the
/// next tensor and not given back to the kernel, which would have to clear their pages again. Read by glibc alone.
const ALLOCATOR: (&str, &str) =
    ("GLIBC_TUNABLES", "glibc.malloc.mmap_threshold=33554432:glibc.malloc.trim_threshold=67108864");

/// How children are started.
#[derive(Clone, Debug)]
pub(super) struct Spawner {
    /// This program.
    pub(super) program: PathBuf,
    /// The engine's library.
    pub(super) library: PathBuf,
}

/// A child process. It is killed when this is dropped, with whatever it started.
#[derive(Debug)]
pub(super) struct Cell {
    child: Child,
    group: Option<Pid>,
    input: ChildStdin,
    /// What it says, in order; the end or an error at last.
    pub(super) said: mpsc::Receiver<io::Result<FromChild>>,
    printed: JoinHandle<Vec<u8>>,
}

impl Drop for Cell {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Spawner {
    /// Starts a child, which waits for its request. Nothing of this process's environment goes along.
    pub(super) fn spawn(&self) -> io::Result<Cell> {
        let mut child = Command::new(&self.program)
            .args(["--log", "warn", "compute", "--library"])
            .arg(&self.library)
            .env_clear()
            // Its lines go into our log, where colours are noise.
            .env("NO_COLOR", "1")
            // The engine would start a thread and open a database in the home folder, before anything is given up.
            .env("ORT_DISABLE_TELEMETRY", "1")
            .env(ALLOCATOR.0, ALLOCATOR.1)
            .current_dir(Path::new("/"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let (Some(input), Some(output), Some(errors)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        let (sender, said) = mpsc::channel(WAITING);
        tokio::spawn(receive_all(BufReader::new(output), sender));
        Ok(Cell { child, group, input, said, printed: tokio::spawn(last_words(errors)) })
    }
}

impl Cell {
    /// Says something to the child. One that does not listen for long is lost.
    pub(super) async fn say(&mut self, message: &ToChild) -> io::Result<()> {
        tokio::time::timeout(DEAF, frame::send(&mut self.input, message)).await?
    }

    /// Ends it at once, and whatever it started.
    pub(super) fn kill(&mut self) {
        if let Some(group) = self.group {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.start_kill();
    }

    /// Whether it still runs.
    pub(super) fn is_alive(&mut self) -> bool {
        let alive = matches!(self.child.try_wait(), Ok(None));
        if !alive {
            // Its number may be another's from now on.
            self.group = None;
        }
        alive
    }

    /// Waits for its end, and ends it after a while. How it ended, which is an error if that was not its doing, and the last
    /// that it printed.
    pub(super) async fn end(mut self, patience: Duration) -> (io::Result<ExitStatus>, String) {
        let ended = match tokio::time::timeout(patience, self.child.wait()).await {
            Ok(ended) => ended,
            Err(late) => {
                self.kill();
                self.child.wait().await.and(Err(late.into()))
            }
        };
        // Nothing that it started outlives it.
        self.kill();
        self.group = None;
        let words = tokio::time::timeout(patience, &mut self.printed).await;
        let words = words.ok().and_then(Result::ok).unwrap_or_default();
        (ended, String::from_utf8_lossy(&words).into_owned())
    }
}

async fn receive_all<T: DeserializeOwned>(
    output: impl tokio::io::AsyncRead + Unpin,
    sender: mpsc::Sender<io::Result<T>>,
) {
    let mut output = AsyncReadExt::take(output, MOST_SAID);
    while let Some(message) = frame::receive(&mut output).await.transpose() {
        let broken = message.is_err();
        if sender.send(message).await.is_err() || broken {
            return;
        }
    }
}

/// The last bytes that are printed, of however many.
async fn last_words(mut errors: ChildStderr) -> Vec<u8> {
    let (mut last, mut chunk) = (Vec::new(), [0; 4096]);
    while let Ok(read @ 1..) = errors.read(&mut chunk).await {
        last.extend_from_slice(chunk.get(..read).unwrap_or_default());
        let over = last.len().saturating_sub(LAST_WORDS);
        last.drain(..over);
    }
    last
}
