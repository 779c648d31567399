//! [`Entry`]: a row of a table of codes, as `ptqd errors` prints it.

use serde::Serialize;

use super::{FaultCode, FaultKind, StableCode};

/// What there is to know of one code.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// The name in snake case.
    pub code: &'static str,
    /// What it means, in one sentence: the doc comment of its variant.
    pub meaning: &'static str,
    /// What to do about it.
    pub remedy: &'static str,
    /// Whose fault it is, where that is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<FaultKind>,
    /// Whether the same request may succeed later, where that is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retryable: Option<bool>,
    /// The HTTP status, where there is always the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
}

impl<C: StableCode> From<C> for Entry {
    fn from(code: C) -> Self {
        Entry {
            code: code.name(),
            meaning: code.meaning(),
            remedy: code.remedy(),
            kind: None,
            retryable: None,
            status: None,
        }
    }
}

/// Every code of a table, sorted by name.
pub fn entries<C: StableCode>() -> Vec<Entry> {
    entries_with(|code: C| code.into())
}

/// Every code of a table, each as `entry` tells it, sorted by name.
pub fn entries_with<C: StableCode>(entry: impl Fn(C) -> Entry) -> Vec<Entry> {
    let mut entries: Vec<Entry> = C::ALL.iter().map(|&code| entry(code)).collect();
    entries.sort_by_key(|entry| entry.code);
    entries
}

impl FaultCode {
    /// Every code with whose fault it is, sorted by name.
    pub fn entries() -> Vec<Entry> {
        entries_with(|code: FaultCode| Entry {
            kind: Some(code.kind()),
            retryable: Some(code.retryable()),
            ..code.into()
        })
    }
}
