//! Running ONNX graphs: the engine's library, sessions, and the operators that watch tensors or change them.
//!
//! The engine is ONNX Runtime, loaded at run time from a path that is handed in. Knows nothing of rules or backends.

mod binding;
mod element;
mod error;
mod insert;
mod library;
mod observer;
mod prefetch;
mod random;
mod session;
mod transform;

use std::path::PathBuf;

use crate::control::Canceller;

pub use binding::{Batch, Binding, InputInfo};
pub use error::EngineError;
pub use insert::{TransformedInput, with_observers, with_transforms};
pub use observer::Slots;
pub use prefetch::{each_batch, in_lanes};
pub use random::random_inputs;
pub use session::{Optimisation, Output, Session};
pub use transform::{Gate, Gates, TensorTransform};

/// Where the engine is and how much of the machine it may use.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// The ONNX Runtime shared library.
    pub library: PathBuf,
    /// Threads of one session.
    pub threads: usize,
    /// Bytes that a job may take to run a model; `None` for any number.
    pub memory: Option<u64>,
    /// Stops forward passes, those under way in their middle.
    pub canceller: Canceller,
}

/// Whether the engine can be used: loads its library if that has not been done.
pub fn available(config: &EngineConfig) -> Result<(), EngineError> {
    library::environment(config).map(drop)
}
