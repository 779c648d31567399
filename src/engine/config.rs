//! [`EngineConfig`]: where the engine is and how much of the machine it may use.

use std::path::PathBuf;

use crate::control::Canceller;

/// Where the engine is and how much of the machine it may use.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// The ONNX Runtime shared library.
    pub library: PathBuf,
    /// The OpenVINO C shared library, to measure in what is for it.
    pub openvino: Option<PathBuf>,
    /// Threads of one session.
    pub threads: usize,
    /// Bytes that a job may take to run a model; `None` for any number.
    pub memory: Option<u64>,
    /// Stops forward passes, those under way in their middle.
    pub canceller: Canceller,
}
