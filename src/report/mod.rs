//! The accuracy report: what was done to each layer, what it cost, and how the whole model fares.
//!
//! Plain data that serializes to `report.json`. A figure that does not apply is null, never invented.

mod activation;
mod artifact;
mod comparison;
mod environment;
mod gate;
mod job;
mod layer;
mod sensitivity;
mod summary;
mod weight;

pub use activation::{ActivationReport, AsymmetricRange};
pub use artifact::{Artifact, media_type};
pub use comparison::{Comparison, Latency, OutputReport, Right};
pub use environment::{Environment, Policies};
pub use gate::{GateResult, QualityGate};
pub use job::Report;
pub use layer::LayerReport;
pub use sensitivity::{LayerSensitivity, Sensitivity, Suggestion};
pub use summary::Summary;
pub use weight::WeightReport;
