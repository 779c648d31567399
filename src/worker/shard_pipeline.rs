//! [`ShardsInFlight`]: the shards of a checkpoint that is elsewhere, one after the other: the next one on its way in and the last one
//! on its way out while one is computed. The disk never holds more than two of the originals and two results.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    runtime::Handle,
    sync::{Semaphore, mpsc},
    task::JoinHandle,
};

use super::lease::StopFlag;
use crate::{
    control::{Control, Notice},
    pipeline::{PipelineError, ShardDone, ShardPipeline},
    report::Artifact,
    storage::{Artifacts, RemoteShards, StorageError},
};

type Brought = (String, Result<String, StorageError>);

/// The remote of one job, running until it is dropped.
#[derive(Debug)]
pub(super) struct ShardsInFlight {
    shards: RemoteShards,
    runtime: Handle,
    /// Shards that are here.
    brought: Mutex<mpsc::Receiver<Brought>>,
    /// Room for originals.
    room: Arc<Semaphore>,
    /// Results on their way out.
    outgoing: Mutex<Option<mpsc::UnboundedSender<Artifact>>>,
    /// Room for one of them.
    door: Arc<Semaphore>,
    bringing: JoinHandle<()>,
    taking: Mutex<Option<JoinHandle<Result<(), StorageError>>>>,
}

impl Drop for ShardsInFlight {
    fn drop(&mut self) {
        self.bringing.abort();
        if let Some(taking) = self.taking.get_mut().unwrap_or_else(PoisonError::into_inner) {
            taking.abort();
        }
    }
}

impl ShardsInFlight {
    /// Starts it. Results are published under the prefix.
    pub(super) fn start(
        runtime: Handle,
        shards: RemoteShards,
        artifacts: Artifacts,
        prefix: String,
        out: PathBuf,
        flag: &Arc<StopFlag>,
    ) -> Self {
        let (room, door) = (Arc::new(Semaphore::new(2)), Arc::new(Semaphore::new(1)));
        let (arrived, brought) = mpsc::channel(2);
        let bringing = runtime.spawn(bring_all(shards.clone(), arrived, Arc::clone(&room), Arc::clone(flag)));
        let (outgoing, leaving) = mpsc::unbounded_channel();
        let taking = runtime.spawn(take_all(artifacts, prefix, out, leaving, Arc::clone(&door), Arc::clone(flag)));
        ShardsInFlight {
            shards,
            runtime,
            brought: Mutex::new(brought),
            room,
            outgoing: Mutex::new(Some(outgoing)),
            door,
            bringing,
            taking: Mutex::new(Some(taking)),
        }
    }

    /// Waits until everything is out.
    pub(super) fn finish(&self) -> Result<(), PipelineError> {
        drop(self.outgoing.lock().unwrap_or_else(PoisonError::into_inner).take());
        let taking = self.taking.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(taking) = taking else { return Ok(()) };
        let ended = self.runtime.block_on(taking).unwrap_or(Err(StorageError::Stopped));
        ended.map_err(PipelineError::moved)
    }
}

impl ShardPipeline for ShardsInFlight {
    fn bring(&self, source: &str) -> Result<Option<String>, PipelineError> {
        let next = self.brought.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
        match next {
            Some((name, Ok(sha256))) if name == source => Ok(Some(sha256)),
            Some((_, Err(error))) => Err(PipelineError::moved(error)),
            // Names are in one order everywhere, and the remote ends early only when the job does.
            Some(_) | None => Err(PipelineError::moved(StorageError::Stopped)),
        }
    }

    fn take(&self, done: &ShardDone) -> Result<(), PipelineError> {
        self.shards.release(&done.part.source).map_err(PipelineError::moved)?;
        self.room.add_permits(1);
        match self.runtime.block_on(self.door.acquire()) {
            Ok(permit) => permit.forget(),
            // Nothing leaves any more; why is for the end to say.
            Err(_) => return self.finish(),
        }
        let outgoing = self.outgoing.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = outgoing.as_ref().is_some_and(|outgoing| outgoing.send(done.artifact.clone()).is_ok());
        drop(outgoing);
        if sent { Ok(()) } else { self.finish() }
    }
}

/// Brings the shards in order, as there is room.
async fn bring_all(shards: RemoteShards, arrived: mpsc::Sender<Brought>, room: Arc<Semaphore>, flag: Arc<StopFlag>) {
    let notify = |_: Notice| ();
    let control = Control::new(&notify, &flag.canceller);
    for name in shards.names() {
        let Ok(permit) = room.acquire().await else { return };
        permit.forget();
        let brought = shards.bring(name, &control).await;
        let failed = brought.is_err();
        if arrived.send((name.to_owned(), brought)).await.is_err() || failed {
            return;
        }
    }
}

/// Publishes results as they come, and removes them here.
async fn take_all(
    artifacts: Artifacts,
    prefix: String,
    out: PathBuf,
    mut leaving: mpsc::UnboundedReceiver<Artifact>,
    door: Arc<Semaphore>,
    flag: Arc<StopFlag>,
) -> Result<(), StorageError> {
    while let Some(artifact) = leaving.recv().await {
        let published = artifacts.publish(&prefix, &out, std::slice::from_ref(&artifact), &flag.canceller).await;
        if let Err(error) = published {
            door.close();
            return Err(error);
        }
        remove(&out.join(&artifact.name));
        door.add_permits(1);
    }
    Ok(())
}

/// What is published need not be here. The scratch folder goes in the end, whatever is left of it.
fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        tracing::warn!(path = %path.display(), %error, "a published shard stays until the job ends");
    }
}
