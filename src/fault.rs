//! What every error of the core can say of itself besides its message: whose fault it is, a stable code, and what to do.
//!
//! A leaf: any module may name it, and it names none. The shell turns a fault into an exit code or a problem document.

use serde::{Deserialize, Serialize};

/// Whose fault an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// The input is wrong; the same input will fail again. The user can mend it.
    Invalid,
    /// The input may be right, but this version cannot do it.
    Unsupported,
    /// The surroundings failed (disk, network, a missing library); trying again may help.
    Environment,
    /// The work was stopped on purpose.
    Cancelled,
}

/// An error that can be explained to a user.
pub trait Fault: std::error::Error {
    /// A stable name in snake case, for programs.
    fn code(&self) -> &'static str;
    /// Whose fault it is.
    fn kind(&self) -> FaultKind;
    /// What to do about it, if there is something.
    fn hint(&self) -> Option<String> {
        None
    }
}

/// The message of an error followed by those of its causes.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        if !text.ends_with(&message) {
            text = format!("{text}: {message}");
        }
        cause = error.source();
    }
    text
}

/// Something accepted that the user should know of: a field aliased, ignored or changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// JSON pointer to the value, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// Stable name in snake case.
    pub code: String,
    /// The sentence for a person.
    pub message: String,
}

impl Warning {
    /// A warning about a value of the request.
    pub fn at(pointer: impl Into<String>, code: &str, message: impl Into<String>) -> Self {
        Warning { pointer: Some(pointer.into()), code: code.to_owned(), message: message.into() }
    }

    /// A warning about something that happened while working.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Warning { pointer: None, code: code.to_owned(), message: message.into() }
    }
}
