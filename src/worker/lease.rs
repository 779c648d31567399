//! The heartbeat of one attempt, and the reasons to stop it early.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

use crate::{
    control::Canceller,
    job::{Held, Lease, Queue},
};

/// How often the store is asked whether the job was cancelled. The answer must be with the user within two seconds.
const LOOK: Duration = Duration::from_millis(700);

/// Why an attempt was asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Stop {
    /// It was not.
    No = 0,
    /// The user wants it.
    Cancelled = 1,
    /// It ran too long.
    Deadline = 2,
    /// The process goes away.
    Shutdown = 3,
    /// The lease is another's.
    Lost = 4,
}

/// Shared between the heartbeat and the computation.
#[derive(Debug, Default)]
pub(super) struct StopFlag {
    /// What stops the computation.
    pub(super) canceller: Canceller,
    why: AtomicU8,
}

impl StopFlag {
    /// Of two reasons the first counts, except that nothing is to be said about a job that is another's.
    fn set(&self, why: Stop) {
        let _ = self.why.compare_exchange(0, why as u8, Ordering::Relaxed, Ordering::Relaxed);
        if why == Stop::Lost {
            self.why.store(why as u8, Ordering::Relaxed);
        }
        self.canceller.cancel();
    }

    pub(super) fn why(&self) -> Stop {
        match self.why.load(Ordering::Relaxed) {
            1 => Stop::Cancelled,
            2 => Stop::Deadline,
            3 => Stop::Shutdown,
            4 => Stop::Lost,
            _ => Stop::No,
        }
    }
}

/// Renews the lease at a third of its length and looks for a cancellation more often than that, until the lease is lost or
/// this is aborted: while the computation comes to its end, the job is still ours.
pub(super) async fn keep(
    queue: Arc<dyn Queue>,
    lease: Lease,
    length: Duration,
    time_left: Option<Duration>,
    flag: Arc<StopFlag>,
    mut shutdown: watch::Receiver<bool>,
) {
    let mut renewed = Instant::now();
    // A time so late that it never comes, where there is no limit.
    let deadline = Instant::now() + time_left.unwrap_or(Duration::from_secs(1 << 32));
    let (mut timely, mut serving) = (true, true);
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK.min(length / 3)) => {
                let due = renewed.elapsed() >= length / 3;
                let answer = if due { queue.heartbeat(&lease, length).await } else { queue.watch(&lease).await };
                match answer {
                    Ok(Held::Lost) => return flag.set(Stop::Lost),
                    Ok(held) => {
                        if due {
                            renewed = Instant::now();
                        }
                        if held == Held::Cancelled {
                            flag.set(Stop::Cancelled);
                        }
                    }
                    // The database may come back before the lease runs out; after that the job is not ours to touch.
                    Err(error) => {
                        tracing::warn!(job = %lease.job, error = crate::fault::chain(&error), "heartbeat failed");
                        if renewed.elapsed() > length {
                            return flag.set(Stop::Lost);
                        }
                    }
                }
            }
            () = tokio::time::sleep_until(deadline), if timely => {
                timely = false;
                flag.set(Stop::Deadline);
            }
            () = ended(&mut shutdown), if serving => {
                serving = false;
                flag.set(Stop::Shutdown);
            }
        }
    }
}

async fn ended(shutdown: &mut watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|stop| *stop).await;
}
