//! [`Isolation`]: how far what is foreign runs apart.

use serde::{Deserialize, Serialize};

/// How far what is foreign runs apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// In a process of its own, which gives up what the kernel lets it give up.
    #[default]
    Auto,
    /// The same, and not at all where the kernel does not let it give up everything.
    Strict,
    /// In this process.
    Off,
}

/// What a child gave up, as a probe found it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IsolationReport {
    /// What was asked for.
    pub isolation: Isolation,
    /// Whether a process of its own computes.
    pub process: bool,
    /// What it could do and should not; nothing if everything was refused.
    pub missing: Vec<String>,
}

impl Isolation {
    /// The name that users type.
    pub fn name(self) -> &'static str {
        match self {
            Isolation::Auto => "auto",
            Isolation::Strict => "strict",
            Isolation::Off => "off",
        }
    }
}

impl IsolationReport {
    /// In one line.
    pub fn line(&self) -> String {
        match (self.process, &*self.missing) {
            (false, _) => "off: models run in the server's process".to_owned(),
            (true, []) => "a confined process for each job".to_owned(),
            (true, missing) => format!("a process for each job, which still can: {}", missing.join("; ")),
        }
    }
}
