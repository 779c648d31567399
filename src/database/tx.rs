//! [`Tx`]: a transaction, and who is notified once it is through.

use std::time::Duration;

use sqlx::{Database, Transaction};

use crate::job::{Notification, StoreError};

/// A transaction fit for writing. What it notifies of is part of it: no notification goes out for what was rolled back, or too early.
pub(super) struct Tx<D: Database> {
    pub(super) transaction: Transaction<'static, D>,
    pub(super) notifications: Vec<Notification>,
}

impl<D: Database> Tx<D> {
    pub(super) fn new(transaction: Transaction<'static, D>) -> Self {
        Tx { transaction, notifications: Vec::new() }
    }

    /// What statements of the transaction run on.
    pub(super) fn conn(&mut self) -> &mut D::Connection {
        &mut self.transaction
    }
}

/// Ends a transaction that changed nothing. Dropping it would end it too, but only some time later, and until then what it
/// locked would be passed over by claims.
pub(super) async fn rolled_back<D: Database, T>(tx: Tx<D>, answer: T) -> Result<T, StoreError> {
    tx.transaction.rollback().await?;
    Ok(answer)
}

/// A duration as the statements take it.
pub(super) fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 2)
}

/// A number of bytes as the statements take it.
pub(super) fn bytes(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// Whether a statement failed because what must be unique is there already.
pub(super) fn is_unique_violation<T>(result: &Result<T, sqlx::Error>) -> bool {
    result.as_ref().is_err_and(|error| error.as_database_error().is_some_and(|e| e.is_unique_violation()))
}
