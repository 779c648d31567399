//! Jobs in Postgres: any number of servers and workers on one database.

use std::{str::FromStr, time::Duration};

use serde_json::{Value, json};
use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgListener, PgPoolOptions},
};
use tokio::sync::broadcast;

use super::{
    OpenError,
    claim_row::{Next, NextRow},
    database, is_unique_violation, migrations,
    notifications::{channel, payload, read, stream_of},
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

/// Where transactions tell what they made true.
const CHANNEL: &str = "ptqd_news";

/// Jobs in Postgres.
#[derive(Clone, Debug)]
pub struct PostgresStore {
    pool: PgPool,
    notifications: broadcast::Sender<Notification>,
}

impl PostgresStore {
    /// Connects, with at most `connections` at a time, and brings the tables up to date.
    pub async fn open(url: &str, connections: u32) -> Result<Self, OpenError> {
        let options = PgConnectOptions::from_str(url)
            .map_err(OpenError::Connect)?
            // A process that is paused in the middle of a transaction must not keep its rows locked for ever.
            .options([("idle_in_transaction_session_timeout", "10s")]);
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(Duration::from_secs(10))
            .connect_with(options.clone())
            .await
            .map_err(OpenError::Connect)?;
        migrations::postgres().run(&pool).await.map_err(OpenError::Migrate)?;
        let notifications = channel();
        tokio::spawn(listen(options, notifications.clone()));
        Ok(PostgresStore { pool, notifications })
    }

    async fn begin(&self) -> Result<Tx<sqlx::Postgres>, StoreError> {
        Ok(Tx::new(self.pool.begin().await.map_err(database)?))
    }

    /// Notices are part of the transaction: nobody hears of what was rolled back, or too early.
    async fn commit(&self, mut tx: Tx<sqlx::Postgres>) -> Result<(), StoreError> {
        let mut payloads: Vec<String> = tx.notifications.iter().map(payload).collect();
        payloads.sort();
        payloads.dedup();
        if !payloads.is_empty() {
            sqlx::query("select pg_notify($1, told) from unnest($2::text[]) told")
                .bind(CHANNEL)
                .bind(payloads)
                .execute(&mut *tx.tx)
                .await
                .map_err(database)?;
        }
        tx.tx.commit().await.map_err(database)
    }
}

/// Passes on what the database tells, on a connection of its own, for as long as someone may listen.
async fn listen(options: PgConnectOptions, notifications: broadcast::Sender<Notification>) {
    loop {
        if let Err(error) = listen_once(&options, &notifications).await {
            tracing::warn!(error = crate::fault::chain(&error), "the database's notices are not heard for now");
        }
        // Meanwhile all that wait look for themselves now and then.
        let _ = notifications.send(Notification::Lagged);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn listen_once(
    options: &PgConnectOptions,
    notifications: &broadcast::Sender<Notification>,
) -> Result<(), sqlx::Error> {
    let pool = PgPoolOptions::new().max_connections(1).connect_with(options.clone()).await?;
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.listen(CHANNEL).await?;
    let _ = notifications.send(Notification::Lagged);
    // `None`: the connection was lost.
    while let Some(notice) = listener.try_recv().await? {
        let _ = notifications.send(read(notice.payload()));
    }
    Ok(())
}

shared!(
    PostgresStore,
    sqlx::Postgres,
    now: "(extract(epoch from clock_timestamp()) * 1000)::bigint",
    lock: "for update"
);
job_store!(
    PostgresStore,
    sqlx::Postgres,
    now: "(extract(epoch from clock_timestamp()) * 1000)::bigint",
    lock: "for update"
);
queue!(
    PostgresStore,
    sqlx::Postgres,
    now: "(extract(epoch from clock_timestamp()) * 1000)::bigint",
    lock: "for update"
);
claim!(
    PostgresStore,
    sqlx::Postgres,
    now: "(extract(epoch from clock_timestamp()) * 1000)::bigint",
    skip: "for update of t skip locked",
    lock_tenant: "select pg_advisory_xact_lock(hashtextextended($1, 0))"
);
finish!(PostgresStore, sqlx::Postgres, now: "(extract(epoch from clock_timestamp()) * 1000)::bigint");
key_store!(PostgresStore, sqlx::Postgres, now: "(extract(epoch from clock_timestamp()) * 1000)::bigint");
webhook_store!(
    PostgresStore,
    sqlx::Postgres,
    now: "(extract(epoch from clock_timestamp()) * 1000)::bigint",
    skip: "for update skip locked"
);
