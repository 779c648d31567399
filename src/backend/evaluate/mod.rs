//! Comparing the quantized model with the original.

mod compare;
mod fused;
mod latency;
mod models;
mod openvino;
mod references;
mod samples;
mod stopwatch;
mod unfused;

pub(super) use compare::compare;
pub(super) use fused::{check_file, check_fusions};
pub(super) use latency::in_onnxruntime;
pub(super) use models::Compared;
pub(super) use openvino::in_openvino;
pub(super) use samples::{Samples, Split, batches, open};
