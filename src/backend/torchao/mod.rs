//! Backend `torchao`: weight-only PTQ, with torchao's numerics.
//!
//! Streams: shard by shard, tensor by tensor, part by part, so memory does not grow with the model.

mod checkpoint;
mod graph;
mod options;

use std::path::Path;

pub use checkpoint::JOURNAL;

use self::{
    checkpoint::OpenedCheckpoint,
    graph::OpenedGraph,
    options::{OPTIONS, Options},
};
use super::{Backend, BackendError, Capabilities, Prepared, layouts};
use crate::{
    model::{safetensors, torch},
    numeric::DType,
    spec::{Mode, Objection, QuantizeSpec},
};

/// Weight-only PTQ of checkpoints and ONNX graphs, by the rules of torchao.
#[derive(Debug)]
pub(super) struct TorchAo;

static CAPABILITIES: Capabilities = Capabilities {
    name: "torchao",
    aliases: &[],
    summary: "weight-only PTQ of checkpoints and ONNX graphs: a scale for each output row, group or block, no data needed",
    mode: Mode::WeightOnlyPtq,
    formats: &["onnx", "safetensors", "torch"],
    weight_dtypes: &DType::ALL,
    activation_dtypes: &[],
    dynamic_dtypes: &layouts::ACTIVATIONS,
    options: &OPTIONS,
    needs_engine: false,
};

impl Backend for TorchAo {
    fn capabilities(&self) -> &'static Capabilities {
        &CAPABILITIES
    }

    fn objections(&self, spec: &QuantizeSpec) -> Vec<Objection> {
        Options::new(spec).objections(spec)
    }

    fn open(&self, spec: &QuantizeSpec, model: &Path) -> Result<Box<dyn Prepared>, BackendError> {
        if (crate::model::onnx::FORMAT.recognise)(model) {
            return Ok(Box::new(OpenedGraph::new(spec, model)?));
        }
        if (torch::FORMAT.recognise)(model) {
            let (checkpoint, left_out) = torch::open(model)?;
            let mut opened = OpenedCheckpoint::new(spec, checkpoint)?;
            opened.warn_of_values(&left_out);
            return Ok(Box::new(opened));
        }
        Ok(Box::new(OpenedCheckpoint::new(spec, safetensors::open(model)?)?))
    }
}
