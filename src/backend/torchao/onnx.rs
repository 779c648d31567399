//! ONNX graphs: each weight an initializer in low precision behind a DequantizeLinear that gives it its old name, so that
//! whatever read it reads on.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use super::options::Options;
use crate::{
    backend::{
        BackendError, Outcome, Prediction, Prepared, RunInputs,
        evaluate::{self, Compared, Samples},
        graph::{
            inventory::{self, Candidate, Inventory, is_compute},
            memory, weights,
        },
        layouts,
        weights::WeightScheme,
    },
    control::Control,
    engine::Session,
    fault::WarningCode,
    model::onnx::{Graph, Model, TensorId, upgrade},
    numeric::FloatFormat,
    quant::{Granularity, Grid, Scheme},
    report::{LayerReport, WeightReport},
    spec::{Decision, QuantizeSpec, Reason, Resolved, Support, Warning, resolve},
    tensor::Shape,
};

const FORMATS: [FloatFormat; 3] = [FloatFormat::F32, FloatFormat::F16, FloatFormat::Bf16];

/// A graph with its plan.
pub(super) struct OpenedGraph {
    /// Where the model is.
    path: PathBuf,
    model: Model,
    resolved: Resolved,
    /// For each layer of the plan, the constant that its weight is.
    sources: Vec<Option<String>>,
    /// The constants to be quantized.
    chosen: BTreeMap<String, WeightScheme>,
}

impl OpenedGraph {
    /// Resolves the rules against the graph's nodes.
    pub(super) fn new(spec: &QuantizeSpec, path: &Path) -> Result<Self, BackendError> {
        let (path, model) = (path.to_owned(), Model::read(path)?);
        let Inventory { mut layers, candidates, .. } = inventory::inventory(&model, &FORMATS, &[])?;
        for layer in &mut layers {
            // As in a checkpoint, a bare `*` takes Linear layers.
            if layer.support == Support::Yes && layer.classes.first().is_some_and(|class| class.starts_with("Conv")) {
                layer.support = Support::IfNamed(Reason::ConvolutionNotNamed);
            }
        }
        let mut resolved = resolve(spec, &layers);
        let options = Options::new(spec);
        if options.layout.is_some() {
            let note = "a graph has one layout: initializers behind DequantizeLinear";
            resolved.warnings.push(Warning::at(spec.at("backend_kwargs/layout"), WarningCode::FieldIgnored, note));
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
        Ok(OpenedGraph { path, model, resolved, sources, chosen })
    }
}

impl Candidate {
    /// The tensor that the node reads as its weight.
    fn input(&self, graph: &Graph) -> Option<TensorId> {
        graph.input(graph.node_at(self.node)?, self.weight_input)
    }

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
fn choose(candidate: &Candidate, mut scheme: Scheme) -> Result<WeightScheme, Reason> {
    let (axis, shape) = (candidate.own_axis(), candidate.own_shape());
    scheme.granularity = match scheme.granularity {
        Granularity::PerChannel { .. } => Granularity::PerChannel { axis },
        Granularity::PerGroup { size, .. } => Granularity::PerGroup { axis: 1 - axis, size },
        Granularity::PerTensor => Granularity::PerTensor,
        Granularity::PerBlock { .. } => return Err(Reason::LayoutUnsupported),
    };
    if let Some(reason) = layouts::onnx::refuses(scheme.dtype, &shape) {
        return Err(reason);
    }
    let grid = Grid::new(&shape, scheme.granularity).ok_or(Reason::ShapeUnsupported)?;
    Ok(WeightScheme::new(scheme, grid, candidate.format))
}

/// Who reads the constants that are weights.
struct Readers {
    /// Constant to the layers that compute with it.
    layers: BTreeMap<String, Vec<usize>>,
    /// Constants that something else reads too, for whom a change would come as a surprise.
    others: BTreeSet<String>,
}

impl Readers {
    fn new(graph: &Graph, candidates: &[Option<Candidate>]) -> Self {
        let mut layers: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        let mut expected: BTreeMap<TensorId, usize> = BTreeMap::new();
        let mut transposes = BTreeSet::new();
        for (at, candidate) in candidates.iter().enumerate() {
            let Some(candidate) = candidate else { continue };
            layers.entry(candidate.source.clone()).or_default().push(at);
            let Some(input) = candidate.input(graph) else { continue };
            *expected.entry(input).or_default() += 1;
            if candidate.transposed && transposes.insert(input) {
                let source = graph.tensor(&candidate.source);
                source.into_iter().for_each(|source| *expected.entry(source).or_default() += 1);
            }
        }
        let surplus = |tensor: TensorId| graph.value_reads(tensor) > expected.get(&tensor).copied().unwrap_or(0);
        let through = candidates.iter().flatten().filter(|candidate| {
            graph.tensor(&candidate.source).is_some_and(surplus) || candidate.input(graph).is_some_and(surplus)
        });
        Readers { others: through.map(|candidate| candidate.source.clone()).collect(), layers }
    }
}

impl Prepared for OpenedGraph {
    fn predict(&self, inputs: &RunInputs) -> Result<Prediction, BackendError> {
        let sizes = self.chosen.values().map(|chosen| {
            let (rows, columns) = chosen.grid.cells();
            memory::weight(chosen.grid.whole().elements(), rows * columns, chosen.format, chosen.scheme.dtype)
        });
        let peak = inputs.evaluation.as_ref().map(|evaluation| {
            let data = evaluate::open(&evaluation.data)?;
            Ok::<_, BackendError>(memory::predict(&self.model, &data, evaluation.data.batch_size as u64))
        });
        let weights = Some(memory::sizes(self.model.file_bytes, sizes));
        Ok(Prediction { weights, peak: peak.transpose()? })
    }

    fn resolved(&self) -> &Resolved {
        &self.resolved
    }

    fn run(&mut self, inputs: &RunInputs, out: &Path, control: &Control<'_>) -> Result<Outcome, BackendError> {
        let mut model = self.model.clone();
        let upgraded = upgrade(&mut model, layouts::onnx::needed_opset(self.chosen.values()))?;
        if !upgraded.is_empty() {
            let nodes: Vec<String> = upgraded.iter().map(|(name, op_type)| format!("{name} ({op_type})")).collect();
            control
                .warn(WarningCode::OpsetUpgraded, format!("carried to opset {}: {}", model.opset(), nodes.join(", ")));
        }
        let written = weights::write(&self.model, model, &self.chosen, inputs, out, control)?;
        let mut outcome = Outcome {
            bytes_before: self.model.file_bytes,
            bytes_after: written.bytes(),
            layers: self.report(written.weights),
            files: written.files.into_iter().map(|(name, _)| name).collect(),
            ..Outcome::default()
        };
        self.evaluate(inputs, out, &mut outcome, control)?;
        Ok(outcome)
    }
}

impl OpenedGraph {
    /// The layers that compute with a weight. A constant that several share is reported with the first.
    fn report(&self, mut measured: BTreeMap<String, WeightReport>) -> Vec<LayerReport> {
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

    /// Runs both models on the evaluation data, if there is any.
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
        let quantized = &out.join(weights::FILE);
        let compared = Compared { original: &self.path, prepared: &self.model, quantized, out };
        let mut samples = Samples::choose(inputs, None, control)?;
        if let Some(samples) = &mut samples {
            let (batch, peak) = memory::fit(&self.model, samples.data(), samples.batch, &inputs.engine, control)?;
            (samples.batch, outcome.predicted_peak_bytes) = (batch, Some(peak));
        }
        outcome.comparison =
            samples.map(|samples| evaluate::compare(&compared, inputs, &samples, control)).transpose()?;
        outcome.engine_version = outcome.comparison.is_some().then(Session::engine_version);
        Ok(())
    }
}
