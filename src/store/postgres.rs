//! Jobs in Postgres: any number of servers and workers on one database.

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::{PgPool, postgres::PgPoolOptions};

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

/// Jobs in Postgres.
#[derive(Clone, Debug)]
pub struct PostgresStore {
    pool: PgPool,
}

impl PostgresStore {
    /// Connects and brings the tables up to date.
    pub async fn open(url: &str) -> Result<Self, OpenError> {
        let pool = PgPoolOptions::new()
            .max_connections(10)
            .acquire_timeout(Duration::from_secs(10))
            .connect(url)
            .await
            .map_err(OpenError::Connect)?;
        migrations::postgres().run(&pool).await.map_err(OpenError::Migrate)?;
        Ok(PostgresStore { pool })
    }

    async fn begin(&self) -> Result<sqlx::Transaction<'static, sqlx::Postgres>, StoreError> {
        self.pool.begin().await.map_err(database)
    }
}

job_store!(
    PostgresStore,
    sqlx::Postgres,
    now: "(extract(epoch from clock_timestamp()) * 1000)::bigint",
    lock: "for update skip locked"
);
