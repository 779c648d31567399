//! The calibration pass: observers into the graph, data through it, statistics out.

use std::collections::BTreeMap;

use super::Opened;
use crate::{
    backend::{BackendError, DataSource, RunInputs, onnx::evaluate::batches},
    calibration::{Record, Statistics, VERSION},
    control::{Control, Phase},
    dataset::Dataset,
    engine::{Binding, OBSERVER_DOMAIN, OBSERVER_OP, Session, Slots},
    model::onnx::{GraphIndex, Model, attribute_int, new_node},
};

/// Runs the data through the model with an observer on every tensor in `watched`, which says whether a histogram is
/// needed.
pub(super) fn observe(
    opened: &Opened,
    watched: &BTreeMap<String, bool>,
    data: &Dataset,
    source: &DataSource,
    inputs: &RunInputs,
    control: &Control<'_>,
) -> Result<Record, BackendError> {
    let slots = Slots::new(watched.values().map(|&histogram| Statistics::new(histogram)));
    let names: Vec<&String> = watched.keys().collect();
    let model = with_observers(&opened.model, &names)?.to_bytes()?;
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
    let tensors = watched.keys().cloned().zip(slots.statistics()).collect();
    Ok(Record { version: VERSION, random: false, samples, tensors })
}

/// A copy of the model in which every reader of a watched tensor reads the observer's output instead.
fn with_observers(model: &Model, watched: &[&String]) -> Result<Model, BackendError> {
    let mut model = model.clone();
    model.import(OBSERVER_DOMAIN, 1);
    let graph = model.graph_mut();
    let mut index = GraphIndex::new(graph)?;
    let mut renamed = BTreeMap::new();
    let mut after: BTreeMap<Option<usize>, Vec<_>> = BTreeMap::new();
    for (slot, tensor) in watched.iter().enumerate() {
        let output = index.claim(&format!("{tensor}.observed"));
        let mut node = new_node(OBSERVER_OP, OBSERVER_DOMAIN, vec![(*tensor).clone()], &output);
        node.attribute.push(attribute_int("slot", slot as i64));
        after.entry(index.producer(tensor)).or_default().push(node);
        renamed.insert((*tensor).clone(), output);
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
