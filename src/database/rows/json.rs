//! Columns that hold JSON as text.

use serde::{Serialize, de::DeserializeOwned};

use crate::job::StoreError;

/// A value that a JSON text holds; `None` if it holds something else.
pub(in crate::database) fn from_json<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_str(text).ok()
}

/// The same of a column that may be null. `None` if the text is unreadable.
pub(super) fn optional<T: DeserializeOwned>(text: Option<&str>) -> Option<Option<T>> {
    text.map_or(Some(None), |text| from_json(text).map(Some))
}

/// A value as JSON text.
pub(in crate::database) fn to_json(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|e| StoreError::Database(Box::new(e)))
}
