//! ONNX graphs: each weight an initializer in low precision behind a DequantizeLinear that gives it its old name, so that
//! whatever read it reads on.
//!
//! Large tensors are streamed from the mapped input to their place in the output; the graph alone is held in memory.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use super::{
    layout::{Chosen, Stored, ZeroPointForm, ZeroPoints},
    options::Options,
    stream::{Buffers, Sink, Stream, Unchanged, Weight},
};
use crate::{
    backend::{
        BackendError, Outcome, Prepared, RunInputs, evaluate,
        onnx_inventory::{self, Candidate, is_compute},
    },
    control::{Control, Phase},
    engine::Session,
    model::{
        onnx::{
            Bytes, Constant, DeferredTensor, GraphIndex, Model, ModelWriter, OnnxError, attribute_int, constant,
            new_node,
            proto::{GraphProto, data_type},
            reads, upgrade,
        },
        safetensors::OutTensor,
    },
    numeric::FloatFormat,
    quant::{ErrorStats, Granularity, Grid, Packing, Scheme},
    report::{LayerReport, WeightReport},
    spec::{Decision, QuantizeSpec, Reason, Resolved, Support, Warning, resolve},
    tensor::Shape,
};

/// The name of the quantized model.
const FILE: &str = "model.onnx";
/// Unchanged tensors from this size on are streamed; smaller ones stay in the message.
const STREAMED_BYTES: usize = 1 << 16;
const FORMATS: [FloatFormat; 3] = [FloatFormat::F32, FloatFormat::F16, FloatFormat::Bf16];

/// A graph with its plan.
pub(super) struct OpenedGraph {
    model: Model,
    resolved: Resolved,
    /// For each layer of the plan, the constant that its weight is.
    sources: Vec<Option<String>>,
    /// The constants to be quantized.
    chosen: BTreeMap<String, Chosen>,
}

impl OpenedGraph {
    /// Resolves the rules against the graph's nodes.
    pub(super) fn new(spec: &QuantizeSpec, model: Model) -> Result<Self, BackendError> {
        let (mut layers, candidates) = onnx_inventory::inventory(&model, &FORMATS)?;
        for layer in &mut layers {
            // As in a checkpoint, a bare `*` takes Linear layers.
            if layer.support == Support::Yes && layer.classes.first().is_some_and(|class| class == "Conv") {
                layer.support = Support::IfNamed(Reason::ConvolutionNotNamed);
            }
        }
        let mut resolved = resolve(spec, &layers);
        let options = Options::new(spec);
        if options.layout.is_some() {
            let note = "a graph has one layout: initializers behind DequantizeLinear";
            resolved.warnings.push(Warning::at(spec.at("backend_kwargs/layout"), "field_ignored", note));
        }
        let mut chosen = BTreeMap::new();
        let mut native = Vec::new();
        let readers = Readers::new(model.graph(), &candidates);
        for (at, candidate) in candidates.iter().enumerate() {
            let plan = &resolved.plan.layers[at];
            let (Some(candidate), Some(dtype)) = (candidate, plan.weights) else { continue };
            let alike = |other: usize| {
                let plan = &resolved.plan.layers[other];
                (plan.weights, candidates[other].as_ref().map(Candidate::own_axis))
                    == (Some(dtype), Some(candidate.own_axis()))
            };
            let one = if readers.others.contains(&candidate.source)
                || !readers.layers.get(&candidate.source).into_iter().flatten().all(|&other| alike(other))
            {
                Err(Reason::TiedToNative)
            } else {
                options.scheme(dtype, &candidate.torch_shape()).and_then(|scheme| choose(candidate, scheme))
            };
            match one {
                Ok(one) => drop(chosen.insert(candidate.source.clone(), one)),
                Err(reason) => native.push((at, reason)),
            }
        }
        resolved.leave_native(spec, native);
        let sources = candidates.into_iter().map(|c| c.map(|c| c.source)).collect();
        Ok(OpenedGraph { model, resolved, sources, chosen })
    }
}

impl Candidate {
    /// The axis of the output channels in the constant itself.
    fn own_axis(&self) -> usize {
        if self.transposed { 1 - self.axis } else { self.axis }
    }

    /// The constant's own shape.
    fn own_shape(&self) -> Shape {
        if self.transposed { self.shape.reversed() } else { self.shape.clone() }
    }

    /// The shape as PyTorch would have it, output channels first.
    fn torch_shape(&self) -> Shape {
        if self.axis == 0 { self.shape.clone() } else { self.shape.reversed() }
    }
}

/// The scheme in the constant's own order of axes, or why the graph has no form for it.
fn choose(candidate: &Candidate, mut scheme: Scheme) -> Result<Chosen, Reason> {
    let (axis, shape) = (candidate.own_axis(), candidate.own_shape());
    scheme.granularity = match scheme.granularity {
        Granularity::PerChannel { .. } => Granularity::PerChannel { axis },
        Granularity::PerGroup { size, .. } => Granularity::PerGroup { axis: 1 - axis, size },
        Granularity::PerTensor => Granularity::PerTensor,
        Granularity::PerBlock { .. } => return Err(Reason::LayoutUnsupported),
    };
    let even = shape.dims().last().is_some_and(|columns| columns % 2 == 0);
    if scheme.dtype.spec().bits == 4 && !even {
        return Err(Reason::ShapeUnsupported);
    }
    let grid = Grid::new(&shape, scheme.granularity).ok_or(Reason::ShapeUnsupported)?;
    Ok(Chosen { scheme, grid, format: candidate.format })
}

/// Who reads the constants that are weights.
struct Readers {
    /// Constant to the layers that compute with it.
    layers: BTreeMap<String, Vec<usize>>,
    /// Constants that something else reads too, for whom a change would come as a surprise.
    others: BTreeSet<String>,
}

impl Readers {
    fn new(graph: &GraphProto, candidates: &[Option<Candidate>]) -> Self {
        let mut layers: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        let mut expected: BTreeMap<String, usize> = BTreeMap::new();
        let mut transposes = BTreeSet::new();
        for (at, candidate) in candidates.iter().enumerate() {
            let Some(candidate) = candidate else { continue };
            layers.entry(candidate.source.clone()).or_default().push(at);
            let input = &graph.node[candidate.node].input[candidate.weight_input];
            *expected.entry(input.clone()).or_default() += 1;
            if candidate.transposed && transposes.insert(input.clone()) {
                *expected.entry(candidate.source.clone()).or_default() += 1;
            }
        }
        // A `Shape` reads no values.
        let found = reads(graph, |node| node.op_type.as_deref() != Some("Shape"));
        let surplus = |name: &String| found.get(name).copied().unwrap_or(0) > expected.get(name).copied().unwrap_or(0);
        let through = candidates.iter().flatten().filter(|candidate| {
            surplus(&candidate.source) || surplus(&graph.node[candidate.node].input[candidate.weight_input])
        });
        Readers { others: through.map(|candidate| candidate.source.clone()).collect(), layers }
    }
}

impl Sink for ModelWriter {
    fn write(&self, tensor: &str, offset: u64, bytes: &[u8]) -> Result<(), BackendError> {
        Ok(ModelWriter::write(self, tensor, offset, bytes)?)
    }
}

impl Prepared for OpenedGraph {
    fn resolved(&self) -> &Resolved {
        &self.resolved
    }

    fn run(&mut self, inputs: &RunInputs, out: &Path, control: &Control<'_>) -> Result<Outcome, BackendError> {
        let source = self.model.graph();
        let index = GraphIndex::new(source)?;
        let mut constants = BTreeMap::new();
        for (name, chosen) in &self.chosen {
            constants.extend(constant(source, &index, name)?.map(|constant| (name.clone(), (constant, chosen))));
        }
        let mut model = self.model.clone();
        let upgraded = upgrade(&mut model, self.needed_opset())?;
        if !upgraded.is_empty() {
            let nodes: Vec<String> = upgraded.iter().map(|(name, op_type)| format!("{name} ({op_type})")).collect();
            control.warn("opset_upgraded", format!("carried to opset {}: {}", model.opset(), nodes.join(", ")));
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
        let writer = ModelWriter::create(&out.join(FILE), &model, &deferred, self.model.external)?;
        let buffers = Buffers::new(&inputs.memory);
        let errors = Stream::new(&writer, &buffers, &meter).run(&weights, &unchanged)?;
        let files = writer.finish()?;

        let mut outcome = Outcome {
            bytes_before: self.model.file_bytes,
            bytes_after: files.iter().map(|(_, bytes)| bytes).sum(),
            files: files.into_iter().map(|(name, _)| name).collect(),
            layers: self.report(&weights, &errors),
            ..Outcome::default()
        };
        self.evaluate(inputs, out, &mut outcome, control)?;
        Ok(outcome)
    }
}

/// The size of a weight before.
fn source_bytes(weight: &Weight<'_>) -> u64 {
    (weight.chosen.grid.whole().elements() * weight.chosen.format.size()) as u64
}

/// Puts a DequantizeLinear that has the constant's name in the place of each constant; the tensors it reads are deferred.
fn replace(
    graph: &mut GraphProto,
    constants: &BTreeMap<String, (Constant<'_>, &Chosen)>,
    deferred: &mut Vec<DeferredTensor>,
) -> Result<Vec<Stored>, OnnxError> {
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

impl OpenedGraph {
    /// The layers that compute with a weight. A constant that several share is reported with the first.
    fn report(&self, weights: &[Weight<'_>], errors: &[ErrorStats]) -> Vec<LayerReport> {
        let measured = weights.iter().zip(errors).map(|(weight, error)| {
            let after = weight.stored.tensors().map(OutTensor::bytes).sum();
            let sizes = (source_bytes(weight), after);
            (weight.name, WeightReport::new(weight.name, &weight.chosen.scheme, error, sizes))
        });
        let mut measured: BTreeMap<&str, WeightReport> = measured.collect();
        let mut layers = Vec::new();
        for (plan, source) in self.resolved.plan.layers.iter().zip(&self.sources) {
            if source.is_none() && !is_compute(&plan.op_type) {
                continue;
            }
            let quantized = plan.decision == Decision::Quantize;
            let weights = source.as_deref().filter(|_| quantized).and_then(|source| measured.remove(source));
            let reason = if quantized && weights.is_none() { Reason::Tied } else { plan.reason };
            layers.push(LayerReport { weights, reason, ..LayerReport::planned(plan) });
        }
        layers
    }

    fn needed_opset(&self) -> i64 {
        const BLOCKED: i64 = 21;
        const HALF_SCALES: i64 = 19;
        let needed = self.chosen.values().map(|chosen| {
            let grouped = matches!(chosen.scheme.granularity, Granularity::PerGroup { .. });
            let half = chosen.scheme.scale_format(chosen.format) != FloatFormat::F32;
            let for_form = if grouped { BLOCKED } else { 0 }.max(if half { HALF_SCALES } else { 0 });
            chosen.scheme.dtype.spec().onnx_opset.max(for_form)
        });
        needed.max().unwrap_or(0)
    }

    /// Runs both models on the evaluation data, if there is any and one message can hold them.
    fn evaluate(
        &self,
        inputs: &RunInputs,
        out: &Path,
        outcome: &mut Outcome,
        control: &Control<'_>,
    ) -> Result<(), BackendError> {
        if inputs.evaluation.is_none() {
            return Ok(());
        }
        if self.model.external {
            let note = "models with external data are not compared";
            control.warn("evaluation_left_out", note);
            return Ok(());
        }
        let quantized = Model::read(&out.join(FILE))?.to_bytes()?;
        outcome.comparison = evaluate::compare(&self.model, &quantized, inputs, None, control)?;
        outcome.engine_version = outcome.comparison.is_some().then(Session::engine_version);
        Ok(())
    }
}

/// The tensors that take the place of a constant, laid out for the writer.
fn lay_out(
    name: &str,
    shape: &Shape,
    chosen: &Chosen,
    names: &mut GraphIndex,
    deferred: &mut Vec<DeferredTensor>,
) -> Result<Stored, OnnxError> {
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
    let scale_element = match scale_format {
        FloatFormat::F32 => data_type::FLOAT,
        FloatFormat::F16 => data_type::FLOAT16,
        FloatFormat::Bf16 => data_type::BFLOAT16,
    };
    let codes = tensor("quantized", spec.onnx, spec.bits as usize, shape.dims())?;
    let scales = tensor("scale", scale_element, 8 * scale_format.size(), &cells)?;
    let zero_points = chosen.scheme.rule.is_asymmetric().then(|| {
        let form = if spec.bits == 4 { ZeroPointForm::Nibbles } else { ZeroPointForm::Bytes };
        Ok::<_, OnnxError>(ZeroPoints { tensor: tensor("zero_point", spec.onnx, spec.bits as usize, &cells)?, form })
    });
    let zero_points = zero_points.transpose()?;
    Ok(Stored { codes, packing, scales, scale_format, zero_points, constants: Vec::new() })
}

impl Stored {
    /// The inputs of a DequantizeLinear.
    fn names(&self) -> Vec<String> {
        self.tensors().map(|tensor| tensor.name.clone()).collect()
    }
}
