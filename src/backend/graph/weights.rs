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
        layouts::onnx,
        weights::{Buffers, EncodedWeight, Sink, Stream, Unchanged, Weight, WeightScheme},
    },
    control::{Control, Phase},
    model::onnx::{
        Bytes, Constant, DeferredTensor, Graph, Model, ModelWriter, OnnxError, attribute_int, constant, new_node,
        proto::{TensorProto, data_type},
    },
    model::safetensors::OutTensor,
    numeric::DType,
    quant::Granularity,
    report::WeightReport,
    tensor::Shape,
};

/// The name of the quantized model.
pub(in crate::backend) const FILE: &str = "model.onnx";
/// Where copies for the engine stand for a moment.
const ENGINE_FOLDER: &str = ".ptqd-engine";
/// Unchanged tensors from this size on are streamed; smaller ones stay in the message.
const STREAMED_BYTES: usize = 1 << 16;

/// What a writer of graphs leaves in the folder of the result.
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
    let mut constants = BTreeMap::new();
    for (name, chosen) in chosen {
        let tensor = graph.tensor(name).map(|tensor| constant(graph, tensor)).transpose()?.flatten();
        constants.extend(tensor.map(|constant| (name.clone(), (constant, chosen))));
    }
    let mut deferred = Vec::new();
    let encoded = replace(model.graph_mut(), &constants, &mut deferred)?;
    let large = defer_large(model.graph_mut(), &mut deferred);

    let weights: Vec<Weight<'_>> = constants
        .iter()
        .zip(&encoded)
        .map(|((name, (constant, scheme)), encoded)| {
            let read = Box::new(|range| constant.read(range));
            Weight { name, scheme, encoded, read }
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
    let total = weights
        .iter()
        .map(|weight| weight.scheme.source_bytes())
        .chain(unchanged.iter().map(|tensor| tensor.bytes as u64))
        .sum();
    let meter = control.phase(Phase::Quantizing, total, "bytes");
    let writer = ModelWriter::create(&out.join(FILE), &model, &deferred, source.external)?;
    let buffers = Buffers::new(&inputs.memory);
    let errors = Stream::new(&writer, &buffers, &meter).run(&weights, &unchanged)?;
    let files = writer.finish()?;
    let reports = weights.iter().zip(&errors).map(|(weight, error)| {
        let sizes = (weight.scheme.source_bytes(), weight.encoded.bytes());
        (weight.name.to_owned(), WeightReport::new(weight.name, &weight.scheme.scheme, error, sizes))
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

/// Puts a DequantizeLinear that has the constant's name in the place of each constant; the tensors it reads are deferred.
fn replace(
    graph: &mut Graph,
    constants: &BTreeMap<String, (Constant<'_>, &WeightScheme)>,
    deferred: &mut Vec<DeferredTensor>,
) -> Result<Vec<EncodedWeight>, OnnxError> {
    let (mut dequantize, mut encoded) = (Vec::new(), Vec::new());
    for (name, (constant, chosen)) in constants {
        let one = onnx::tensors(name, &constant.shape, chosen, |wanted| graph.claim(wanted), deferred)?;
        let mut names = one.names();
        if chosen.zeros_stored && one.zero_points.is_none() && chosen.scheme.dtype.is_integer() {
            names.push(zeros(graph, name, &one.scales, chosen.scheme.dtype));
        }
        let mut node = new_node("DequantizeLinear", "", names, name);
        let (axis, size) = match chosen.scheme.granularity {
            Granularity::PerChannel { axis } => (Some(axis), None),
            Granularity::PerGroup { axis, size } => (Some(axis), Some(size)),
            _ => (None, None),
        };
        node.attribute.extend(axis.map(|axis| attribute_int("axis", axis as i64)));
        node.attribute.extend(size.map(|size| attribute_int("block_size", size as i64)));
        dequantize.push(node);
        encoded.push(one);
    }
    let replaced = |name: Option<&String>| name.is_some_and(|name| constants.contains_key(name));
    graph.take_initializers(|tensor| replaced(tensor.name.as_ref()));
    graph.retain_inputs(|input| !replaced(input.name.as_ref()));
    let gone = graph.nodes().filter(|id| graph.op(*id) == Some("Constant") && replaced(graph.node(*id).output.first()));
    graph.remove(&gone.collect());
    graph.insert(0, dequantize);
    Ok(encoded)
}

/// A zero point of 0 for each scale of a weight.
fn zeros(graph: &mut Graph, weight: &str, scales: &OutTensor, dtype: DType) -> String {
    let name = graph.claim(&format!("{weight}.zero_point"));
    let dims = scales.shape.dims();
    graph.add_initializer(TensorProto {
        name: Some(name.clone()),
        dims: dims.iter().map(|&dim| dim as i64).collect(),
        data_type: Some(dtype.spec().onnx),
        raw_data: Some(Bytes::from(vec![0; dtype.spec().packing.row_bytes(scales.shape.elements())])),
        ..Default::default()
    });
    name
}

/// Takes the large initializers out of the message, to be streamed: name and bytes of each.
fn defer_large(graph: &mut Graph, deferred: &mut Vec<DeferredTensor>) -> Vec<(String, Bytes)> {
    let mut large = Vec::new();
    graph.take_initializers(|tensor| {
        let element = tensor.data_type.unwrap_or(0);
        let shape = Shape::from_signed(&tensor.dims).ok();
        match (&tensor.raw_data, data_type::bits(element), shape) {
            (Some(bytes), Some(bits), Some(shape))
                if bytes.len() >= STREAMED_BYTES && shape.bytes(bits) == Some(bytes.len()) =>
            {
                let name = tensor.name.clone().unwrap_or_default();
                large.push((name.clone(), bytes.clone()));
                deferred.push(DeferredTensor { name, element, bits, shape });
                true
            }
            _ => false,
        }
    });
    large
}

impl EncodedWeight {
    /// The inputs of a DequantizeLinear.
    fn names(&self) -> Vec<String> {
        self.tensors().map(|tensor| tensor.name.clone()).collect()
    }
}
