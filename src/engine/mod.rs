//! Running ONNX graphs: the engine's library, sessions, and the operators that watch tensors or change them.
//!
//! The engine is ONNX Runtime, loaded at run time from a path that is handed in. Knows nothing of rules or backends.

mod binding;
mod config;
mod domain;
mod element;
mod error;
mod failure;
mod insert;
mod library;
mod log;
mod observer;
mod openvino;
mod operator;
mod prefetch;
mod random;
mod session;
mod transform;
mod warm;

pub use self::openvino::{OpenVino, OpenVinoError, OpenVinoModel};
pub use binding::{Batch, Binding, InputInfo};
pub use config::EngineConfig;
pub use error::EngineError;
pub use insert::{TransformedInput, with_observers, with_transforms};
pub use library::available;
pub use observer::Slots;
pub use prefetch::{each_batch, in_lanes};
pub use random::random_inputs;
pub use session::{Optimisation, Output, Session};
pub use transform::{Gate, Gates, TensorTransform};
pub use warm::warm_up;
