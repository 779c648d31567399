//! A task of a job that is being changed.

use super::row::table_row;

table_row! {
    /// A row of `tasks`, as far as it matters to its siblings.
    TaskRow {
        n: i64,
        kind: String,
        status: String,
        lease_token: Option<String>,
    }
}
