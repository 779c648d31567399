//! Running ONNX graphs: the engine's library, sessions, and the operators that watch tensors or change them.
//!
//! The engine is ONNX Runtime, loaded at run time from a path that is handed in. Knows nothing of rules or backends.

mod binding;
mod brake;
mod change;
mod element;
mod error;
mod insert;
mod library;
mod observer;
mod prefetch;
mod random;
mod session;

use std::path::PathBuf;

pub use binding::{Batch, Binding, InputInfo};
pub use brake::Brake;
pub use change::{Change, Switch, Switches};
pub use error::EngineError;
pub use insert::{ChangedInput, with_changes, with_observers};
pub use observer::Slots;
pub use prefetch::{each_batch, in_lanes};
pub use random::random_inputs;
pub use session::{Optimisation, Output, Session};

/// Where the engine is and how much of the machine it may use.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// The ONNX Runtime shared library.
    pub library: PathBuf,
    /// Threads of one session.
    pub threads: usize,
    /// Bytes that a job may take to run a model; `None` for any number.
    pub memory: Option<u64>,
    /// Stops what runs.
    pub brake: Brake,
}

/// Whether the engine can be used: loads its library if that has not been done.
pub fn available(config: &EngineConfig) -> Result<(), EngineError> {
    library::environment(config).map(drop)
}
