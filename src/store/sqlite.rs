//! Jobs in SQLite: the embedded default, one file beside the artifacts.

use std::{str::FromStr, time::Duration};

use serde_json::{Value, json};
use sqlx::{
    SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::{
    OpenError, database, migrations,
    row::{JobRow, Waiting, event, from_json, job, job_columns, to_json},
    statements::{job_store, milliseconds},
};
use crate::{
    fault::Warning,
    job::{
        Claim, Event, EventKind, Failure, Finish, Job, JobId, JobSpec, JobStatus, JobStore, Lease, ListQuery, NewJob,
        StoreError, Update,
    },
};

/// Jobs in SQLite.
#[derive(Clone, Debug)]
pub struct SqliteStore {
    pool: SqlitePool,
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
        Ok(SqliteStore { pool })
    }

    async fn begin(&self) -> Result<sqlx::Transaction<'static, sqlx::Sqlite>, StoreError> {
        // Takes the write lock at once: a transaction that reads first and writes later can be refused in the middle.
        self.pool.begin_with("begin immediate").await.map_err(database)
    }
}

job_store!(SqliteStore, sqlx::Sqlite, now: "cast(unixepoch('subsec') * 1000 as integer)", lock: "");
