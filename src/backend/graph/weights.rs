//! Writing a graph whose constants become low precision, each in its [`Form`].
//!
//! Large tensors are streamed from the mapped input to their place in the output; the graph alone is held in memory.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use crate::{
    backend::{
        BackendError, RunInputs,
        graph::forms::{Form, Forms},
        weights::{Buffers, EncodedWeight, Sink, Stream, Unchanged, Weight, WeightScheme},
    },
    control::{Control, Phase},
    model::onnx::{Bytes, Constant, DeferredTensor, Graph, Model, ModelWriter, OnnxError, constant, proto::data_type},
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

/// A constant that is to be quantized.
struct Replacement<'a> {
    constant: Constant<'a>,
    scheme: &'a WeightScheme,
    form: Form,
}

/// What is to become of constants, by name.
#[derive(Clone, Copy)]
pub(in crate::backend) struct Wanted<'a> {
    /// Those that are quantized.
    pub(in crate::backend) schemes: &'a BTreeMap<String, WeightScheme>,
    /// How the graph holds them, where it is not the usual way.
    pub(in crate::backend) forms: &'a Forms,
    /// The scales that some of their cells must have, 0 for the others.
    pub(in crate::backend) given: &'a BTreeMap<String, Vec<f32>>,
}

/// Writes `model` into the folder `out` with the wanted constants quantized; their values are those in `source`.
pub(in crate::backend) fn write(
    source: &Model,
    mut model: Model,
    wanted: Wanted<'_>,
    inputs: &RunInputs,
    out: &Path,
    control: &Control<'_>,
) -> Result<Written, BackendError> {
    let graph = source.graph();
    let mut chosen = BTreeMap::new();
    for (name, scheme) in wanted.schemes {
        let tensor = graph.tensor(name).map(|tensor| constant(graph, tensor)).transpose()?.flatten();
        let form = wanted.forms.get(name).copied().unwrap_or_default();
        chosen.extend(tensor.map(|constant| (name.clone(), Replacement { constant, scheme, form })));
    }
    let mut deferred = Vec::new();
    let encoded = replace(&mut model, &chosen, &mut deferred)?;
    model.graph_mut().separate_node_names();
    model.take_new_initializers();
    let large = defer_large(model.graph_mut(), &mut deferred);

    let weights: Vec<Weight<'_>> = chosen
        .iter()
        .zip(&encoded)
        .map(|((name, Replacement { constant, scheme, form }), encoded)| {
            let swaps = form.swaps();
            let read = Box::new(move |range| if swaps { constant.read_swapped(range) } else { constant.read(range) });
            let given = wanted.given.get(name.as_str()).map(Vec::as_slice);
            Weight { name, scheme, encoded, given, read }
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
        model.graph_mut().separate_node_names();
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

/// Puts what the forms say in the place of each constant; the tensors that hold the codes are deferred.
fn replace(
    model: &mut Model,
    chosen: &BTreeMap<String, Replacement<'_>>,
    deferred: &mut Vec<DeferredTensor>,
) -> Result<Vec<EncodedWeight>, OnnxError> {
    let (mut front, mut encoded) = (Vec::new(), Vec::new());
    for one in chosen.values() {
        let (tensors, node) = one.form.put(model, &one.constant, one.scheme, deferred)?;
        front.extend(node);
        encoded.push(tensors);
    }
    let graph = model.graph_mut();
    let replaced = |name: Option<&String>| name.is_some_and(|name| chosen.contains_key(name));
    graph.take_initializers(|tensor| replaced(tensor.name.as_ref()));
    graph.retain_inputs(|input| !replaced(input.name.as_ref()));
    let gone = graph.nodes().filter(|id| graph.op(*id) == Some("Constant") && replaced(graph.node(*id).output.first()));
    graph.remove(&gone.collect());
    graph.insert(0, front);
    Ok(encoded)
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
