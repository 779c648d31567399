//! Writing a graph whose constants become low precision: each an initializer behind a DequantizeLinear that has its old
//! name, so that whatever read it reads on.
//!
//! Large tensors are streamed from the mapped input to their place in the output; the graph alone is held in memory.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use crate::{
    backend::{
        BackendError, RunInputs,
        stored::{EncodedWeight, WeightScheme, ZeroPointForm, ZeroPoints},
        stream::{Buffers, Sink, Stream, Unchanged, Weight},
    },
    control::{Control, Phase},
    model::{
        onnx::{
            Bytes, Constant, DeferredTensor, GraphIndex, Model, ModelWriter, OnnxError, attribute_int, constant,
            new_node,
            proto::{GraphProto, data_type},
        },
        safetensors::OutTensor,
    },
    numeric::FloatFormat,
    quant::{Granularity, Packing},
    report::WeightReport,
    tensor::Shape,
};

/// The name of the quantized model.
pub(in crate::backend) const FILE: &str = "model.onnx";
/// Where copies for the engine stand for a moment.
const ENGINE_FOLDER: &str = ".ptqd-engine";
/// Unchanged tensors from this size on are streamed; smaller ones stay in the message.
const STREAMED_BYTES: usize = 1 << 16;

/// What was written.
pub(in crate::backend) struct Written {
    /// The files, each with its size.
    pub(in crate::backend) files: Vec<(String, u64)>,
    /// What became of each constant.
    pub(in crate::backend) weights: BTreeMap<String, WeightReport>,
}

impl Written {
    /// The size of all files.
    pub(in crate::backend) fn bytes(&self) -> u64 {
        self.files.iter().map(|(_, bytes)| bytes).sum()
    }
}

/// The least version of ONNX's operators that can say all this.
pub(in crate::backend) fn needed_opset<'c>(chosen: impl IntoIterator<Item = &'c WeightScheme>) -> i64 {
    const BLOCKED: i64 = 21;
    const HALF_SCALES: i64 = 19;
    let needed = chosen.into_iter().map(|chosen| {
        let grouped = matches!(chosen.scheme.granularity, Granularity::PerGroup { .. });
        let half = chosen.scheme.scale_format(chosen.format) != FloatFormat::F32;
        let for_form = if grouped { BLOCKED } else { 0 }.max(if half { HALF_SCALES } else { 0 });
        chosen.scheme.dtype.spec().onnx_opset.max(for_form)
    });
    needed.max().unwrap_or(0)
}

/// Writes `model` into the folder `out` with the constants in `chosen` quantized; their values are those in `source`.
pub(in crate::backend) fn write(
    source: &Model,
    mut model: Model,
    chosen: &BTreeMap<String, WeightScheme>,
    inputs: &RunInputs,
    out: &Path,
    control: &Control<'_>,
) -> Result<Written, BackendError> {
    let graph = source.graph();
    let index = GraphIndex::new(graph)?;
    let mut constants = BTreeMap::new();
    for (name, chosen) in chosen {
        constants.extend(constant(graph, &index, name)?.map(|constant| (name.clone(), (constant, chosen))));
    }
    let mut deferred = Vec::new();
    let stored = replace(model.graph_mut(), &constants, &mut deferred)?;
    let large = defer_large(model.graph_mut(), &mut deferred);

    let weights: Vec<Weight<'_>> = constants
        .iter()
        .zip(&stored)
        .map(|((name, (constant, chosen)), stored)| {
            let read = Box::new(|range| constant.read(range));
            Weight { name, chosen, stored, read }
        })
        .collect();
    let unchanged: Vec<Unchanged<'_>> = large
        .iter()
        .map(|(name, bytes)| Unchanged {
            name,
            bytes: bytes.len(),
            read: Box::new(|range| bytes.get(range).unwrap_or_default().into()),
        })
        .collect();
    let total = weights.iter().map(source_bytes).chain(unchanged.iter().map(|tensor| tensor.bytes as u64)).sum();
    let meter = control.phase(Phase::Quantizing, total, "bytes");
    let writer = ModelWriter::create(&out.join(FILE), &model, &deferred, source.external)?;
    let buffers = Buffers::new(&inputs.memory);
    let errors = Stream::new(&writer, &buffers, &meter).run(&weights, &unchanged)?;
    let files = writer.finish()?;
    let reports = weights.iter().zip(&errors).map(|(weight, error)| {
        let after = weight.stored.tensors().map(OutTensor::bytes).sum();
        let sizes = (source_bytes(weight), after);
        (weight.name.to_owned(), WeightReport::new(weight.name, &weight.chosen.scheme, error, sizes))
    });
    Ok(Written { files, weights: reports.collect() })
}

impl Sink for ModelWriter {
    fn write(&self, tensor: &str, offset: u64, bytes: &[u8]) -> Result<(), BackendError> {
        Ok(ModelWriter::write(self, tensor, offset, bytes)?)
    }
}

/// A copy of a model for the engine, its large tensors in a file beside it that the engine maps. Removed when dropped; a
/// session that was loaded from it does not mind.
#[derive(Debug)]
pub(in crate::backend) struct EngineFile(PathBuf);

impl EngineFile {
    /// Writes it into a folder of its own in `folder`.
    pub(in crate::backend) fn write(model: &Model, folder: &Path) -> Result<Self, BackendError> {
        let file = EngineFile(folder.join(ENGINE_FOLDER));
        let unwritable = |source| BackendError::Write { path: file.0.clone(), source };
        std::fs::create_dir_all(&file.0).map_err(unwritable)?;
        let mut model = model.clone();
        let mut deferred = Vec::new();
        let large = defer_large(model.graph_mut(), &mut deferred);
        let writer = ModelWriter::create(&file.path(), &model, &deferred, true)?;
        for (name, bytes) in &large {
            Sink::write(&writer, name, 0, bytes)?;
        }
        writer.finish()?;
        Ok(file)
    }

    /// Where the model is.
    pub(in crate::backend) fn path(&self) -> PathBuf {
        self.0.join(FILE)
    }
}

impl Drop for EngineFile {
    fn drop(&mut self) {
        // What cannot be removed is in the way of nobody: the folder goes with the job's.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The size of a weight before.
fn source_bytes(weight: &Weight<'_>) -> u64 {
    (weight.chosen.grid.whole().elements() * weight.chosen.format.size()) as u64
}

/// Puts a DequantizeLinear that has the constant's name in the place of each constant; the tensors it reads are deferred.
fn replace(
    graph: &mut GraphProto,
    constants: &BTreeMap<String, (Constant<'_>, &WeightScheme)>,
    deferred: &mut Vec<DeferredTensor>,
) -> Result<Vec<EncodedWeight>, OnnxError> {
    let mut names = GraphIndex::new(graph)?;
    let (mut dequantize, mut stored) = (Vec::new(), Vec::new());
    for (name, (constant, chosen)) in constants {
        let one = lay_out(name, &constant.shape, chosen, &mut names, deferred)?;
        let mut node = new_node("DequantizeLinear", "", one.names(), name);
        let (axis, size) = match chosen.scheme.granularity {
            Granularity::PerChannel { axis } => (Some(axis), None),
            Granularity::PerGroup { axis, size } => (Some(axis), Some(size)),
            _ => (None, None),
        };
        node.attribute.extend(axis.map(|axis| attribute_int("axis", axis as i64)));
        node.attribute.extend(size.map(|size| attribute_int("block_size", size as i64)));
        dequantize.push(node);
        stored.push(one);
    }
    let replaced = |name: Option<&String>| name.is_some_and(|name| constants.contains_key(name));
    graph.initializer.retain(|tensor| !replaced(tensor.name.as_ref()));
    graph.input.retain(|input| !replaced(input.name.as_ref()));
    graph.node.retain(|node| node.op_type.as_deref() != Some("Constant") || !replaced(node.output.first()));
    dequantize.append(&mut graph.node);
    graph.node = dequantize;
    Ok(stored)
}

/// Takes the large initializers out of the message, to be streamed: name and bytes of each.
fn defer_large(graph: &mut GraphProto, deferred: &mut Vec<DeferredTensor>) -> Vec<(String, Bytes)> {
    let mut large = Vec::new();
    for tensor in std::mem::take(&mut graph.initializer) {
        let element = tensor.data_type.unwrap_or(0);
        let shape = Shape::from_signed(&tensor.dims).ok();
        match (&tensor.raw_data, data_type::bits(element), shape) {
            (Some(bytes), Some(bits), Some(shape))
                if bytes.len() >= STREAMED_BYTES && shape.bytes(bits) == Some(bytes.len()) =>
            {
                let name = tensor.name.clone().unwrap_or_default();
                large.push((name.clone(), bytes.clone()));
                deferred.push(DeferredTensor { name, element, bits, shape });
            }
            _ => graph.initializer.push(tensor),
        }
    }
    large
}

/// The tensors that take the place of a constant, laid out for the writer.
fn lay_out(
    name: &str,
    shape: &Shape,
    chosen: &WeightScheme,
    names: &mut GraphIndex,
    deferred: &mut Vec<DeferredTensor>,
) -> Result<EncodedWeight, OnnxError> {
    let spec = chosen.scheme.dtype.spec();
    let packing = if spec.bits == 4 { Packing::Nibbles } else { Packing::Bytes };
    let scale_format = chosen.scheme.scale_format(chosen.format);
    let (down, across) = chosen.grid.cells();
    let cells = match chosen.scheme.granularity {
        Granularity::PerTensor => vec![],
        Granularity::PerChannel { .. } => vec![down * across],
        _ => vec![down, across],
    };
    let mut tensor = |suffix: &str, element: i32, bits: usize, dims: &[usize]| {
        let name = names.claim(&format!("{name}.{suffix}"));
        let shape = Shape::new(dims.to_vec()).map_err(|source| OnnxError::Shape { tensor: name.clone(), source })?;
        deferred.push(DeferredTensor { name: name.clone(), element, bits, shape: shape.clone() });
        Ok::<_, OnnxError>(OutTensor { name, dtype: String::new(), bits, shape })
    };
    let codes = tensor("quantized", spec.onnx, spec.bits as usize, shape.dims())?;
    let scales = tensor("scale", scale_format.onnx(), 8 * scale_format.size(), &cells)?;
    let zero_points = chosen.scheme.rule.is_asymmetric().then(|| {
        let form = if spec.bits == 4 { ZeroPointForm::Nibbles } else { ZeroPointForm::Bytes };
        Ok::<_, OnnxError>(ZeroPoints { tensor: tensor("zero_point", spec.onnx, spec.bits as usize, &cells)?, form })
    });
    let zero_points = zero_points.transpose()?;
    Ok(EncodedWeight { codes, packing, scales, scale_format, zero_points, constants: Vec::new() })
}

impl EncodedWeight {
    /// The inputs of a DequantizeLinear.
    fn names(&self) -> Vec<String> {
        self.tensors().map(|tensor| tensor.name.clone()).collect()
    }
}
