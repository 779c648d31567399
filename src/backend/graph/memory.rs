//! What a model's files and running it take, told before anything is run.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    backend::BackendError,
    control::Control,
    dataset::{Dataset, UNNAMED},
    engine::EngineConfig,
    fault::WarningCode,
    model::onnx::{Model, Shapes, dimensions},
    numeric::{DType, FloatFormat},
};

/// What the engine, its threads and our own code take without any model.
const BASE: u64 = 128 << 20;

/// The largest batch up to `wanted` with which the model fits what the engine may take, with a warning where it is less.
/// Then the bytes that are predicted.
pub(in crate::backend) fn fit(
    model: &Model,
    data: &Dataset,
    wanted: usize,
    engine: &EngineConfig,
    control: &Control<'_>,
) -> Result<(usize, u64), BackendError> {
    let limit = engine.memory.unwrap_or(u64::MAX);
    let mut batch = wanted.max(1);
    loop {
        let predicted = predict(model, data, batch as u64);
        if predicted <= limit {
            if batch < wanted {
                let note = format!(
                    "batches have {batch} samples instead of {wanted}: {} MiB are predicted for these, and {} MiB are allowed",
                    predict(model, data, wanted as u64) >> 20,
                    limit >> 20
                );
                control.warn(WarningCode::BatchLowered, note);
            }
            return Ok((batch, predicted));
        }
        if batch == 1 {
            return Err(BackendError::EngineMemory { predicted, limit });
        }
        batch /= 2;
    }
}

/// The bytes of a weight now and then: so many elements with so many scales.
pub(in crate::backend) fn weight(elements: usize, scales: usize, format: FloatFormat, dtype: DType) -> (u64, u64) {
    let (elements, scales) = (elements as u64, scales as u64);
    let bits = u64::from(dtype.spec().bits);
    (elements * format.size() as u64, (elements * bits).div_ceil(8) + scales * 4)
}

/// The size of a model's files now and then, given those of the weights that are quantized.
pub(in crate::backend) fn sizes(file_bytes: u64, weights: impl IntoIterator<Item = (u64, u64)>) -> (u64, u64) {
    let after = weights.into_iter().fold(file_bytes, |bytes, (now, then)| bytes.saturating_sub(now) + then);
    (file_bytes, after)
}

/// The constants three times, in the file that was read and in one or two sessions of the engine, and the activations that
/// are needed at once.
pub(in crate::backend) fn predict(model: &Model, data: &Dataset, batch: u64) -> u64 {
    let graph = model.graph();
    let mut inputs = BTreeMap::new();
    for input in graph.inputs() {
        let (Some(name), Some(stated)) = (&input.name, dimensions(input)) else { continue };
        let Some(array) = data.arrays().get(name).or_else(|| data.arrays().get(UNNAMED)) else { continue };
        let stated_batch = stated.first().copied().flatten().and_then(|dim| u64::try_from(dim).ok());
        let others = array.shape().dims().iter().skip(1).map(|&dim| dim as u64);
        inputs.insert(name.clone(), [stated_batch.unwrap_or(batch)].into_iter().chain(others).collect());
    }
    let shapes = Shapes::infer(graph, &inputs);
    let mut last_read: BTreeMap<&str, usize> = BTreeMap::new();
    for (position, id) in graph.nodes().enumerate() {
        last_read.extend(graph.node(id).input.iter().map(|name| (name.as_str(), position)));
    }
    let constants: u64 = graph.initializers().filter_map(|tensor| Some(shapes.elements(tensor.name.as_ref()?))).sum();
    let (mut held, mut live, mut peak) = (BTreeSet::new(), 0u64, 0u64);
    for (position, node) in graph.nodes().map(|id| graph.node(id)).enumerate() {
        let outputs: u64 = node.output.iter().map(|name| shapes.elements(name)).sum();
        live = live.saturating_add(outputs);
        held.extend(node.output.iter().map(String::as_str));
        // A convolution lays its input out anew before it multiplies; one more copy of the output covers that.
        peak = peak.max(live.saturating_add(outputs));
        for name in node.input.iter().chain(&node.output).map(String::as_str) {
            if last_read.get(name).is_none_or(|&at| at <= position) && held.remove(name) {
                live = live.saturating_sub(shapes.elements(name));
            }
        }
    }
    let bytes = |elements: u64| elements.saturating_mul(size_of::<f32>() as u64);
    BASE.saturating_add(bytes(constants).saturating_mul(3)).saturating_add(bytes(peak))
}
