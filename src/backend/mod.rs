//! The PTQ backends.
//!
//! A backend opens a model, plans, and writes the quantized model with what it measured. [`BACKENDS`] is the only list
//! of them: the API's catalogue and the validator read it. Knows local paths only, nothing of jobs or queues.

mod capabilities;
mod check;
mod error;
mod evaluate;
mod graph;
mod inputs;
mod layouts;
mod modelopt;
mod options;
mod outcome;
mod registry;
mod sensitivity;
mod torchao;
mod traits;
mod weights;

pub use capabilities::Capabilities;
pub use check::{check, effective};
pub use error::BackendError;
pub use inputs::{DataSource, Evaluation, RunInputs};
pub use options::{BackendOption, OptionKind};
pub use outcome::{Outcome, Prediction};
pub use registry::{BACKENDS, find};
pub use torchao::JOURNAL;
pub use traits::{Backend, Prepared, ShardPart, ShardRun, Sharded};
