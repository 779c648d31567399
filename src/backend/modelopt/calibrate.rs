//! The calibration pass: observers into the graph, data through it, ranges out.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::Opened;
use crate::{
    backend::{BackendError, DataSource, RunInputs, evaluate::batches},
    calibration::Range,
    control::{Control, Phase},
    dataset::Dataset,
    engine::{Binding, OBSERVER_DOMAIN, OBSERVER_OP, Session, Slots},
    model::onnx::{GraphIndex, Model, attribute_int, new_node},
};

/// What calibration saw.
#[derive(Debug)]
pub(super) struct Observed {
    /// The range of each watched tensor that had a finite value.
    pub(super) ranges: BTreeMap<String, Range>,
    /// Samples run.
    pub(super) samples: u64,
}

impl Observed {
    /// The content of `calibration.json`.
    pub(super) fn to_json(&self, algorithm: &str) -> serde_json::Value {
        json!({"algorithm": algorithm, "samples": self.samples, "tensors": self.ranges})
    }
}

/// Runs the data through the model with an observer on the input of every layer whose activations are quantized.
pub(super) fn observe(
    opened: &Opened,
    data: &Dataset,
    source: &DataSource,
    inputs: &RunInputs,
    control: &Control<'_>,
) -> Result<Observed, BackendError> {
    let watched: BTreeSet<String> = opened
        .quantized()
        .filter(|(i, _)| opened.resolved.plan.layers[*i].activations.is_some())
        .map(|(_, candidate)| candidate.activation.clone())
        .collect();
    let watched: Vec<String> = watched.into_iter().collect();
    let slots = Slots::new(watched.iter().map(|_| (opened.calibrator.observer)()));
    let model = with_observers(&opened.model, &watched)?.to_bytes()?;
    let mut session = Session::load_observed(&model, &slots, &inputs.engine)?;
    drop(model);
    let binding = Binding::new(session.inputs(), data, source.batch_size, source.max_samples)?;
    let batches = batches(&binding, control);
    let samples = batches.iter().map(|batch| batch.len() as u64).sum();
    let meter = control.phase(Phase::Calibrating, samples, "samples");
    for batch in batches {
        let units = batch.len() as u64;
        session.run(&binding, batch)?;
        meter.advance(units)?;
    }
    let ranges = watched.into_iter().zip(slots.ranges()).filter_map(|(tensor, range)| Some((tensor, range?)));
    Ok(Observed { ranges: ranges.collect(), samples })
}

/// A copy of the model in which every reader of a watched tensor reads the observer's output instead.
fn with_observers(model: &Model, watched: &[String]) -> Result<Model, BackendError> {
    let mut model = model.clone();
    model.import(OBSERVER_DOMAIN, 1);
    let graph = model.graph_mut();
    let mut index = GraphIndex::new(graph)?;
    let mut renamed = BTreeMap::new();
    let mut after: BTreeMap<Option<usize>, Vec<_>> = BTreeMap::new();
    for (slot, tensor) in watched.iter().enumerate() {
        let output = index.claim(&format!("{tensor}.observed"));
        let mut node = new_node(OBSERVER_OP, OBSERVER_DOMAIN, vec![tensor.clone()], &output);
        node.attribute.push(attribute_int("slot", slot as i64));
        after.entry(index.producer(tensor)).or_default().push(node);
        renamed.insert(tensor.clone(), output);
    }
    let nodes = std::mem::take(&mut graph.node);
    graph.node.extend(after.remove(&None).unwrap_or_default());
    for (position, mut node) in nodes.into_iter().enumerate() {
        for input in &mut node.input {
            if let Some(observed) = renamed.get(input) {
                input.clone_from(observed);
            }
        }
        graph.node.push(node);
        graph.node.extend(after.remove(&Some(position)).unwrap_or_default());
    }
    Ok(model)
}
