//! Jobs in SQLite: the embedded default, one file beside the artifacts.

use std::{str::FromStr, time::Duration};

use serde_json::{Value, json};
use sqlx::{
    SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::sync::broadcast;

use super::{
    OpenError,
    claim_row::{Next, NextRow},
    database, is_unique_violation, migrations,
    notifications::{channel, stream_of},
    row::{JobRow, event, from_json, job_columns, to_json},
    rows::{
        DeliveryRow, KeyRow, WebhookRow, api_key, delivery, delivery_columns, key_columns, webhook, webhook_columns,
    },
    statements::{Tx, claim, finish, job_store, key_store, milliseconds, queue, rolled_back, shared, webhook_store},
};
use crate::{
    access::{ApiKey, KeySecret, KeyStore, Scopes},
    fault::{FaultCode, Warning},
    job::{
        Changed, Claim, Created, Event, EventKind, Failure, Finish, Held, Job, JobFootprint, JobId, JobResult, JobSpec,
        JobStatus, JobStore, Lease, ListQuery, NewJob, Notification, NotificationStream, Queue, QueueStats, StoreError,
        Tenant, Update, Work, Worker,
    },
    webhook::{Attempted, Delivery, DeliveryStatus, Webhook, WebhookStore},
};

/// Jobs in SQLite.
#[derive(Clone, Debug)]
pub struct SqliteStore {
    pool: SqlitePool,
    notifications: broadcast::Sender<Notification>,
}

impl SqliteStore {
    /// Opens, creating it if need be, the file that a `sqlite://` URL names, and brings its tables up to date.
    pub async fn open(url: &str) -> Result<Self, OpenError> {
        let options = SqliteConnectOptions::from_str(url)
            .map_err(OpenError::Connect)?
            .create_if_missing(true)
            .foreign_keys(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(Duration::from_secs(10));
        // One connection: SQLite has one writer anyway, and waiting in the pool is fairer than its busy handler.
        let pool =
            SqlitePoolOptions::new().max_connections(1).connect_with(options).await.map_err(OpenError::Connect)?;
        migrations::sqlite().run(&pool).await.map_err(OpenError::Migrate)?;
        Ok(SqliteStore { pool, notifications: channel() })
    }

    async fn begin(&self) -> Result<Tx<sqlx::Sqlite>, StoreError> {
        // Takes the write lock at once: a transaction that reads first and writes later can be refused in the middle.
        Ok(Tx::new(self.pool.begin_with("begin immediate").await.map_err(database)?))
    }

    async fn commit(&self, tx: Tx<sqlx::Sqlite>) -> Result<(), StoreError> {
        tx.tx.commit().await.map_err(database)?;
        for notification in tx.notifications {
            let _ = self.notifications.send(notification);
        }
        Ok(())
    }
}

shared!(SqliteStore, sqlx::Sqlite, now: "cast(unixepoch('subsec') * 1000 as integer)", lock: "");
job_store!(SqliteStore, sqlx::Sqlite, now: "cast(unixepoch('subsec') * 1000 as integer)", lock: "");
queue!(
    SqliteStore,
    sqlx::Sqlite,
    now: "cast(unixepoch('subsec') * 1000 as integer)",
    lock: ""
);
claim!(
    SqliteStore,
    sqlx::Sqlite,
    now: "cast(unixepoch('subsec') * 1000 as integer)",
    skip: "",
    lock_tenant: "select $1"
);
finish!(SqliteStore, sqlx::Sqlite, now: "cast(unixepoch('subsec') * 1000 as integer)");
key_store!(SqliteStore, sqlx::Sqlite, now: "cast(unixepoch('subsec') * 1000 as integer)");
webhook_store!(SqliteStore, sqlx::Sqlite, now: "cast(unixepoch('subsec') * 1000 as integer)", skip: "");
