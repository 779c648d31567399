//! Jobs in a database: the only SQL.
//!
//! One implementation, written once as a macro and made for two databases, since their dialects differ in a few words
//! and sqlx's types in everything. One conformance suite runs every statement on both.

mod migrations;
mod postgres;
mod row;
mod sqlite;
mod statements;

use std::sync::Arc;

use crate::job::{JobStore, StoreError};

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

/// Connects to the database at `url` and brings its tables up to date.
pub async fn open(url: &str) -> Result<Arc<dyn JobStore>, OpenError> {
    let scheme = url.split(':').next().unwrap_or_default();
    match scheme {
        "postgres" | "postgresql" => Ok(Arc::new(PostgresStore::open(url).await?)),
        "sqlite" => Ok(Arc::new(SqliteStore::open(url).await?)),
        other => Err(OpenError::Scheme { scheme: other.to_owned() }),
    }
}

fn database(error: sqlx::Error) -> StoreError {
    StoreError::Database(Box::new(error))
}
