//! [`IsolationReport`]: how far what is foreign runs apart.

use crate::config::Isolation;

/// What a child gave up, as a probe found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IsolationReport {
    /// What was asked for.
    pub isolation: Isolation,
    /// What a child could do and should not; nothing if everything was refused.
    pub missing: Vec<String>,
}

impl IsolationReport {
    /// Whether a process of its own computes, and is refused everything that it tried.
    pub fn is_whole(&self) -> bool {
        self.isolation != Isolation::Off && self.missing.is_empty()
    }

    /// In one line.
    pub fn line(&self) -> String {
        match (self.isolation, &*self.missing) {
            (Isolation::Off, _) => "off: models run in the server's process".to_owned(),
            (_, []) => "a confined process for each job".to_owned(),
            (_, missing) => format!("a process for each job, which still can: {}", missing.join("; ")),
        }
    }
}
