//! [`IncomingShards`]: the shards of a checkpoint that is elsewhere, one after the other: the next one on its way while one is
//! computed. The disk never holds more than two of them.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::{
    runtime::Handle,
    sync::{Semaphore, mpsc},
    task::JoinHandle,
};

use super::RemoteShards;
use crate::{
    control::{Canceller, Control, Notice},
    storage::StorageError,
};

/// Shards that the disk holds at a time.
const AT_ONCE: usize = 2;

/// A shard that is here, by its name, with its SHA-256; or why it is not.
type Arrived = (String, Result<String, StorageError>);

/// The shards of one job, on their way until this is dropped. For threads that compute: its functions block.
#[derive(Debug)]
pub struct IncomingShards {
    shards: RemoteShards,
    arrived: Mutex<mpsc::Receiver<Arrived>>,
    /// Room for another one.
    room: Arc<Semaphore>,
    bringing: JoinHandle<()>,
}

impl Drop for IncomingShards {
    fn drop(&mut self) {
        self.bringing.abort();
    }
}

impl IncomingShards {
    /// Begins to bring shards.
    pub fn start(runtime: &Handle, shards: RemoteShards, canceller: Canceller) -> Self {
        let room = Arc::new(Semaphore::new(AT_ONCE));
        let (sender, arrived) = mpsc::channel(AT_ONCE);
        let bringing = runtime.spawn(bring_all(shards.clone(), sender, Arc::clone(&room), canceller));
        IncomingShards { shards, arrived: Mutex::new(arrived), room, bringing }
    }

    /// Brings no more of them. Who waits is told that it is over.
    pub fn abandon(&self) {
        self.bringing.abort();
    }

    /// Waits until a shard's file is whole. Its SHA-256.
    pub fn wait_for(&self, name: &str) -> Result<String, StorageError> {
        match self.arrived.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv() {
            Some((arrived, Ok(sha256))) if arrived == name => Ok(sha256),
            Some((_, Err(error))) => Err(error),
            // Names are in one order everywhere, and bringing ends early only when the job does.
            Some(_) | None => Err(StorageError::Stopped),
        }
    }

    /// Gives the disk of a shard back that is not read again, and lets another one come.
    pub fn release(&self, name: &str) -> Result<(), StorageError> {
        self.shards.release(name)?;
        self.room.add_permits(1);
        Ok(())
    }
}

/// Brings the shards in order, as there is room.
async fn bring_all(shards: RemoteShards, arrived: mpsc::Sender<Arrived>, room: Arc<Semaphore>, canceller: Canceller) {
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
