//! Jobs in a database: the only SQL.
//!
//! One set of statements for two databases. Their dialects differ in a few words, see `dialect.rs`, and sqlx's types in
//! everything: so `postgres.rs` and `sqlite.rs` each compile the folder `statements` for themselves. One conformance suite
//! runs every statement on both.

mod dialect;
mod migrations;
mod notifications;
mod postgres;
mod rows;
mod sqlite;
mod tx;

use std::sync::Arc;

use crate::{
    access::KeyStore,
    job::{Fleet, JobStore, Queue, StoreError, Upkeep},
    webhook::WebhookStore,
};

/// A database that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL names no database we know.
    #[error("`{scheme}` is not a database we know; use postgres:// or sqlite://")]
    Scheme {
        /// What stands before the colon.
        scheme: String,
    },
    /// The database cannot be reached.
    #[error("the database cannot be reached")]
    Connect(#[source] sqlx::Error),
    /// Its tables cannot be brought up to date.
    #[error("the database cannot be migrated")]
    Migrate(#[source] sqlx::migrate::MigrateError),
}

/// One database, by its ports.
#[derive(Clone, Debug)]
pub struct Database {
    /// Jobs, for those who make and look at them.
    pub jobs: Arc<dyn JobStore>,
    /// Tasks, for workers: claimed, renewed, updated, finished.
    pub queue: Arc<dyn Queue>,
    /// Which workers there are.
    pub fleet: Arc<dyn Fleet>,
    /// What is to be cleaned up.
    pub upkeep: Arc<dyn Upkeep>,
    /// API keys, by the hashes of their secrets.
    pub keys: Arc<dyn KeyStore>,
    /// Webhooks, and what is to be delivered to them.
    pub webhooks: Arc<dyn WebhookStore>,
}

impl Database {
    fn of<S: JobStore + Queue + Fleet + Upkeep + KeyStore + WebhookStore + 'static>(store: S) -> Self {
        let store = Arc::new(store);
        Database {
            jobs: store.clone(),
            queue: store.clone(),
            fleet: store.clone(),
            upkeep: store.clone(),
            keys: store.clone(),
            webhooks: store,
        }
    }
}

/// Connects to the database at `url`, with at most `connections` at a time where there can be more than one, and brings its
/// tables up to date.
pub async fn open(url: &str, connections: u32) -> Result<Database, OpenError> {
    let scheme = url.split(':').next().unwrap_or_default();
    match scheme {
        "postgres" | "postgresql" => Ok(Database::of(postgres::Store::open(url, connections).await?)),
        "sqlite" => Ok(Database::of(sqlite::Store::open(url).await?)),
        other => Err(OpenError::Scheme { scheme: other.to_owned() }),
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        StoreError::Database(Box::new(error))
    }
}
