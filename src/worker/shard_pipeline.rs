//! [`ShardsInFlight`]: the shards of a checkpoint that is elsewhere, one after the other: the next one on its way in and the
//! last one on its way out while one is computed. The disk never holds more than two of the originals and two results.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::{
    runtime::Handle,
    sync::{Semaphore, mpsc},
    task::JoinHandle,
};

use super::publish::Publisher;
use crate::{
    control::{Canceller, Control, Notice},
    pipeline::{PipelineError, ShardDone, ShardPipeline},
    report::Artifact,
    storage::{RemoteShards, StorageError},
};

/// Originals that the disk holds at a time.
const ORIGINALS: usize = 2;

/// A shard that is here, by its name, with its SHA-256; or why it is not.
type Brought = (String, Result<String, StorageError>);

/// The shards of one job, on their way until this is dropped.
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
    /// Room for one result on its way out.
    exit: Arc<Semaphore>,
    bringing: JoinHandle<()>,
    publishing: Mutex<Option<JoinHandle<Result<(), StorageError>>>>,
}

impl Drop for ShardsInFlight {
    fn drop(&mut self) {
        self.bringing.abort();
        if let Some(publishing) = self.publishing.get_mut().unwrap_or_else(PoisonError::into_inner) {
            publishing.abort();
        }
    }
}

impl ShardsInFlight {
    /// Begins to bring shards.
    pub(super) fn start(runtime: Handle, shards: RemoteShards, publisher: Publisher) -> Self {
        let (room, exit) = (Arc::new(Semaphore::new(ORIGINALS)), Arc::new(Semaphore::new(1)));
        let (arrived, brought) = mpsc::channel(ORIGINALS);
        let bringing = bring_all(shards.clone(), arrived, Arc::clone(&room), publisher.canceller.clone());
        let bringing = runtime.spawn(bringing);
        let (outgoing, leaving) = mpsc::unbounded_channel();
        let publishing = runtime.spawn(publish_all(publisher, leaving, Arc::clone(&exit)));
        ShardsInFlight {
            shards,
            runtime,
            brought: Mutex::new(brought),
            room,
            outgoing: Mutex::new(Some(outgoing)),
            exit,
            bringing,
            publishing: Mutex::new(Some(publishing)),
        }
    }

    /// Waits until everything is published.
    pub(super) fn finish(&self) -> Result<(), PipelineError> {
        drop(self.outgoing.lock().unwrap_or_else(PoisonError::into_inner).take());
        let publishing = self.publishing.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(publishing) = publishing else { return Ok(()) };
        let ended = self.runtime.block_on(publishing).unwrap_or(Err(StorageError::Stopped));
        ended.map_err(PipelineError::moved)
    }
}

impl ShardPipeline for ShardsInFlight {
    fn bring(&self, source: &str) -> Result<Option<String>, PipelineError> {
        let next = self.brought.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
        match next {
            Some((name, Ok(sha256))) if name == source => Ok(Some(sha256)),
            Some((_, Err(error))) => Err(PipelineError::moved(error)),
            // Names are in one order everywhere, and bringing ends early only when the job does.
            Some(_) | None => Err(PipelineError::moved(StorageError::Stopped)),
        }
    }

    fn take(&self, done: &ShardDone) -> Result<(), PipelineError> {
        self.shards.release(&done.part.source).map_err(PipelineError::moved)?;
        self.room.add_permits(1);
        match self.runtime.block_on(self.exit.acquire()) {
            Ok(permit) => permit.forget(),
            // Nothing leaves any more: the end says why.
            Err(_) => return self.finish(),
        }
        let outgoing = self.outgoing.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = outgoing.as_ref().is_some_and(|outgoing| outgoing.send(done.artifact.clone()).is_ok());
        drop(outgoing);
        if sent { Ok(()) } else { self.finish() }
    }
}

/// Brings the shards in order, as there is room.
async fn bring_all(shards: RemoteShards, arrived: mpsc::Sender<Brought>, room: Arc<Semaphore>, canceller: Canceller) {
    let notify = |_: Notice| ();
    let control = Control::new(&notify, &canceller);
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
async fn publish_all(
    publisher: Publisher,
    mut leaving: mpsc::UnboundedReceiver<Artifact>,
    exit: Arc<Semaphore>,
) -> Result<(), StorageError> {
    while let Some(artifact) = leaving.recv().await {
        if let Err(error) = publisher.publish_away(&artifact).await {
            exit.close();
            return Err(error);
        }
        exit.add_permits(1);
    }
    Ok(())
}
