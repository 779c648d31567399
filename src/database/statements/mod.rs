//! Every statement, once. Each macro makes one port of one database from them.
//!
//! Whoever needs more than one row locked takes a job's tasks in order, and the job's own row last: so no two wait for
//! each other.

mod claim;
mod finish;
mod jobs;
mod keys;
mod queue;
mod shared;
mod webhooks;

use std::time::Duration;

use sqlx::{Database, Transaction};

use super::database;
use crate::job::{Notification, StoreError};

pub(super) use claim::claim;
pub(super) use finish::finish;
pub(super) use jobs::job_store;
pub(super) use keys::key_store;
pub(super) use queue::queue;
pub(super) use shared::shared;
pub(super) use webhooks::webhook_store;

/// A transaction fit for writing, and what is to be told when it is through.
pub(super) struct Tx<D: Database> {
    pub(super) tx: Transaction<'static, D>,
    pub(super) notifications: Vec<Notification>,
}

impl<D: Database> Tx<D> {
    pub(super) fn new(tx: Transaction<'static, D>) -> Self {
        Tx { tx, notifications: Vec::new() }
    }
}

/// Ends a transaction that changed nothing. Dropping it would end it too, but only some time later, and until then what it
/// locked would be passed over by claims.
pub(super) async fn rolled_back<D: Database, T>(tx: Tx<D>, answer: T) -> Result<T, StoreError> {
    tx.tx.rollback().await.map_err(database)?;
    Ok(answer)
}

/// A duration as the statements take it.
pub(super) fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 2)
}
