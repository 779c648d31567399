//! Jobs in a database: the only SQL.
//!
//! One implementation, written once as a macro and made for two databases, since their dialects differ in a few words
//! and sqlx's types in everything. One conformance suite runs every statement on both.

mod claim_row;
mod migrations;
mod notifications;
mod postgres;
mod row;
mod rows;
mod sqlite;
mod statements;

use std::sync::Arc;

use crate::{
    access::KeyStore,
    job::{JobStore, Queue, StoreError},
    webhook::WebhookStore,
};

pub use postgres::PostgresStore;
pub use sqlite::SqliteStore;

/// A database that jobs cannot be kept in.
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

/// One database, by what it is used for.
#[derive(Clone, Debug)]
pub struct Database {
    /// Jobs, for those who make and look at them.
    pub jobs: Arc<dyn JobStore>,
    /// Their tasks, for workers.
    pub queue: Arc<dyn Queue>,
    /// API keys.
    pub keys: Arc<dyn KeyStore>,
    /// Webhooks and deliveries.
    pub webhooks: Arc<dyn WebhookStore>,
}

impl Database {
    fn of<S: JobStore + Queue + KeyStore + WebhookStore + 'static>(store: S) -> Self {
        let store = Arc::new(store);
        Database { jobs: store.clone(), queue: store.clone(), keys: store.clone(), webhooks: store }
    }
}

/// Connects to the database at `url`, with at most `connections` at a time where there can be more than one, and brings its
/// tables up to date.
pub async fn open(url: &str, connections: u32) -> Result<Database, OpenError> {
    let scheme = url.split(':').next().unwrap_or_default();
    match scheme {
        "postgres" | "postgresql" => Ok(Database::of(PostgresStore::open(url, connections).await?)),
        "sqlite" => Ok(Database::of(SqliteStore::open(url).await?)),
        other => Err(OpenError::Scheme { scheme: other.to_owned() }),
    }
}

fn database(error: sqlx::Error) -> StoreError {
    StoreError::Database(Box::new(error))
}

/// Whether a statement failed because what must be unique is there already.
fn is_unique_violation<T>(error: &Result<T, sqlx::Error>) -> bool {
    error.as_ref().is_err_and(|error| error.as_database_error().is_some_and(|e| e.is_unique_violation()))
}
