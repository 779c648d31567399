//! Running ONNX graphs: the engine's library, sessions, and the operator that watches activations.
//!
//! The engine is ONNX Runtime, loaded at run time from a path that is handed in. Knows nothing of rules or backends.

mod binding;
mod error;
mod insert;
mod library;
mod observer;
mod session;

use std::path::PathBuf;

pub use binding::{Binding, InputInfo};
pub use error::EngineError;
pub use insert::with_observers;
pub use observer::Slots;
pub use session::{Optimisation, Output, Session};

/// Where the engine is and how much of the machine it may use.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// The ONNX Runtime shared library.
    pub library: PathBuf,
    /// Threads of one session.
    pub threads: usize,
}
