//! The heartbeat of one attempt, and the reasons to stop it early.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

use crate::job::{JobStore, Lease};

/// Why an attempt was asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Stop {
    /// It was not.
    No = 0,
    /// The lease is another's.
    Lost = 1,
    /// It ran too long.
    Deadline = 2,
    /// The process goes away.
    Shutdown = 3,
}

/// Shared between the heartbeat and the computation.
#[derive(Debug, Default)]
pub(super) struct StopFlag {
    /// What the computation looks at.
    pub(super) cancel: AtomicBool,
    why: AtomicU8,
}

impl StopFlag {
    fn set(&self, why: Stop) {
        self.why.store(why as u8, Ordering::Relaxed);
        self.cancel.store(true, Ordering::Release);
    }

    pub(super) fn why(&self) -> Stop {
        match self.why.load(Ordering::Relaxed) {
            1 => Stop::Lost,
            2 => Stop::Deadline,
            3 => Stop::Shutdown,
            _ => Stop::No,
        }
    }
}

/// Renews the lease at a third of its length until told to stop; the answer may be that it is another's.
pub(super) async fn keep(
    store: Arc<dyn JobStore>,
    lease: Lease,
    length: Duration,
    deadline: Option<Duration>,
    flag: Arc<StopFlag>,
    mut shutdown: watch::Receiver<bool>,
) {
    let began = Instant::now();
    let mut renewed = Instant::now();
    let deadline = deadline.map(|limit| began + limit);
    loop {
        let next = tokio::time::sleep(length / 3);
        let late = tokio::time::sleep_until(deadline.unwrap_or_else(|| began + Duration::from_secs(1 << 32)));
        tokio::select! {
            () = next => match store.heartbeat(&lease, length).await {
                Ok(true) => renewed = Instant::now(),
                Ok(false) => return flag.set(Stop::Lost),
                // The database may come back before the lease runs out; after that the job is not ours to touch.
                Err(error) => {
                    tracing::warn!(job = %lease.job, error = crate::fault::chain(&error), "heartbeat failed");
                    if renewed.elapsed() > length {
                        return flag.set(Stop::Lost);
                    }
                }
            },
            () = late => return flag.set(Stop::Deadline),
            () = ended(&mut shutdown) => return flag.set(Stop::Shutdown),
        }
    }
}

async fn ended(shutdown: &mut watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|stop| *stop).await;
}
