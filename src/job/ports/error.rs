//! [`StoreError`]: why a port to the database did not do what it was asked.

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database could not be reached, or refused the statement.
    #[error("the database failed")]
    Database(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A row holds what no version of ours wrote.
    #[error("the database holds an unreadable {column} for {row}")]
    Corrupt {
        /// The job, or whatever it is.
        row: String,
        /// The column that cannot be read.
        column: &'static str,
    },
}
