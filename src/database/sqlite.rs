//! Jobs in SQLite: the embedded default, one file beside the artifacts.

#[path = "statements/mod.rs"]
#[allow(clippy::duplicate_mod, reason = "the same statements for each database, see `statements/mod.rs`")]
mod statements;

use std::{str::FromStr, time::Duration};

use sqlx::{
    Connection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::sync::broadcast;

use super::{OpenError, dialect::Dialect, migrations, notifications::channel, tx::Tx};
use crate::job::{Notification, StoreError};

/// What `statements` are compiled for.
type Db = sqlx::Sqlite;
const DIALECT: Dialect = Dialect::Sqlite;

/// All ports of the database, in SQLite.
#[derive(Clone, Debug)]
pub(super) struct Store {
    pool: SqlitePool,
    notifications: broadcast::Sender<Notification>,
}

impl Store {
    /// Opens, creating it if need be, the file that a `sqlite://` URL names, and brings its tables up to date.
    pub(super) async fn open(url: &str) -> Result<Self, OpenError> {
        let options = SqliteConnectOptions::from_str(url)
            .map_err(OpenError::Connect)?
            .create_if_missing(true)
            .foreign_keys(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(Duration::from_secs(10));
        // One connection: SQLite has one writer anyway, and waiting in the pool is fairer than its busy handler.
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            // A full disk makes SQLite end a transaction by itself. The client goes on counting it, and would begin no other:
            // such a connection is replaced.
            .before_acquire(|connection, _| Box::pin(async { Ok(!connection.is_in_transaction()) }))
            .connect_with(options)
            .await
            .map_err(OpenError::Connect)?;
        migrations::sqlite().run(&pool).await.map_err(OpenError::Migrate)?;
        Ok(Store { pool, notifications: channel() })
    }

    /// A transaction fit for writing.
    async fn begin(&self) -> Result<Tx<Db>, StoreError> {
        // Takes the write lock at once: a transaction that reads first and writes later can be refused in the middle.
        Ok(Tx::new(self.pool.begin_with("begin immediate").await?))
    }

    /// Ends a transaction, and notifies this process: no other one has the database.
    async fn commit(&self, tx: Tx<Db>) -> Result<(), StoreError> {
        tx.transaction.commit().await?;
        for notification in tx.notifications {
            let _ = self.notifications.send(notification);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::tx::rolled_back;

    #[tokio::test]
    async fn a_transaction_that_sqlite_ends_by_itself_is_the_last_of_its_connection_only() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&format!("sqlite://{}", folder.path().join("db").display())).await.unwrap();
        let mut tx = store.begin().await.unwrap();
        // What SQLite does when the disk is full.
        sqlx::query("rollback").execute(tx.conn()).await.unwrap();
        drop(tx);
        let tx = store.begin().await.unwrap();
        rolled_back(tx, ()).await.unwrap();
    }
}
