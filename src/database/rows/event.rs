//! Events of a job.

use serde_json::Value;

use super::{json::from_json, row::table_row};
use crate::job::{Event, EventKind, StoreError};

table_row! {
    /// A row of `events`.
    EventRow {
        seq: i64,
        at: i64,
        kind: String,
        data: String,
    }
}

/// The event that a row of the job with this id holds.
pub(in crate::database) fn event(row: EventRow, job: &str) -> Result<Event, StoreError> {
    let corrupt = |column| StoreError::Corrupt { row: job.to_owned(), column };
    let kind: EventKind = serde_json::from_value(Value::String(row.kind)).map_err(|_| corrupt("events.kind"))?;
    let data = from_json(&row.data).ok_or_else(|| corrupt("events.data"))?;
    Ok(Event { seq: row.seq, at: row.at, kind, data })
}
