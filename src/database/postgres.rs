//! Jobs in Postgres: any number of servers and workers on one database.

#[path = "statements/mod.rs"]
#[allow(clippy::duplicate_mod, reason = "the same statements for each database, see `statements/mod.rs`")]
mod statements;

use std::{str::FromStr, time::Duration};

use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgListener, PgPoolOptions},
};
use tokio::sync::broadcast;

use super::{
    OpenError,
    dialect::Dialect,
    migrations,
    notifications::{channel, payload, read},
    tx::Tx,
};
use crate::job::{Notification, StoreError};

/// What `statements` are compiled for.
type Db = sqlx::Postgres;
const DIALECT: Dialect = Dialect::Postgres;

/// The channel that transactions notify on.
/// Not to be renamed: processes of several versions may share a database.
const CHANNEL: &str = "ptqd_news";

/// All ports of the database, in Postgres.
#[derive(Clone, Debug)]
pub(super) struct Store {
    pool: PgPool,
    notifications: broadcast::Sender<Notification>,
}

impl Store {
    /// Connects, with at most `connections` at a time, and brings the tables up to date.
    pub(super) async fn open(url: &str, connections: u32) -> Result<Self, OpenError> {
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
        Ok(Store { pool, notifications })
    }

    /// A transaction fit for writing.
    async fn begin(&self) -> Result<Tx<Db>, StoreError> {
        Ok(Tx::new(self.pool.begin().await?))
    }

    /// Ends a transaction. Postgres sends its notifications when it commits, and to every process.
    async fn commit(&self, mut tx: Tx<Db>) -> Result<(), StoreError> {
        let mut payloads: Vec<String> = tx.notifications.iter().map(payload).collect();
        payloads.sort();
        payloads.dedup();
        if !payloads.is_empty() {
            sqlx::query("select pg_notify($1, payload) from unnest($2::text[]) payload")
                .bind(CHANNEL)
                .bind(payloads)
                .execute(tx.conn())
                .await?;
        }
        Ok(tx.transaction.commit().await?)
    }
}

/// Passes on what the database notifies of, on a connection of its own, for as long as the process runs.
async fn listen(options: PgConnectOptions, notifications: broadcast::Sender<Notification>) {
    loop {
        if let Err(error) = listen_once(&options, &notifications).await {
            tracing::warn!(error = crate::fault::chain(&error), "the database's notifications do not arrive for now");
        }
        // Meanwhile waiters poll the database.
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
    while let Some(notification) = listener.try_recv().await? {
        let _ = notifications.send(read(notification.payload()));
    }
    Ok(())
}
