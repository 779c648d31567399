//! [`ShardsInFlight`]: the shards of a checkpoint that is elsewhere: while one is computed the next one comes and the last
//! one leaves. The disk never holds more than two of the originals and two results.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::{
    runtime::Handle,
    sync::{Semaphore, mpsc},
    task::JoinHandle,
};

use super::publish::Publisher;
use crate::{
    pipeline::{PipelineError, ShardDone, ShardPipeline},
    report::Artifact,
    storage::{IncomingShards, RemoteShards, StorageError},
};

/// The shards of one job, on their way until this is dropped.
#[derive(Debug)]
pub(super) struct ShardsInFlight {
    incoming: IncomingShards,
    runtime: Handle,
    /// Results on their way out.
    outgoing: Mutex<Option<mpsc::UnboundedSender<Artifact>>>,
    /// Room for one result on its way out.
    exit: Arc<Semaphore>,
    publishing: Mutex<Option<JoinHandle<Result<(), StorageError>>>>,
}

impl Drop for ShardsInFlight {
    fn drop(&mut self) {
        if let Some(publishing) = self.publishing.get_mut().unwrap_or_else(PoisonError::into_inner) {
            publishing.abort();
        }
    }
}

impl ShardsInFlight {
    /// Begins to bring shards.
    pub(super) fn start(runtime: Handle, shards: RemoteShards, publisher: Publisher) -> Self {
        let exit = Arc::new(Semaphore::new(1));
        let incoming = IncomingShards::start(&runtime, shards, publisher.canceller.clone());
        let (outgoing, leaving) = mpsc::unbounded_channel();
        let publishing = runtime.spawn(publish_all(publisher, leaving, Arc::clone(&exit)));
        ShardsInFlight {
            incoming,
            runtime,
            outgoing: Mutex::new(Some(outgoing)),
            exit,
            publishing: Mutex::new(Some(publishing)),
        }
    }

    /// Brings and takes no more: who waits, on whichever thread, is told so.
    pub(super) fn abandon(&self) {
        self.incoming.abandon();
        self.exit.close();
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
        self.incoming.wait_for(source).map(Some).map_err(PipelineError::moved)
    }

    fn take(&self, done: &ShardDone) -> Result<(), PipelineError> {
        self.incoming.release(&done.part.source).map_err(PipelineError::moved)?;
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
