//! How each constant is quantized, and copies for those that layers want otherwise.

use std::collections::BTreeMap;

use super::{dynamic, options::Options, tables};
use crate::{
    backend::{
        graph::{
            forms::{Form, Forms},
            inventory::Candidate,
            tables::is_table,
        },
        weights::WeightScheme,
    },
    model::onnx::{Graph, Use, proto::TensorProto},
    numeric::DType,
    quant::Scheme,
    spec::{Decision, LayerPlan, QuantizeSpec, Reason, Resolved},
};

/// Leaves layers native in `resolved` whose weight cannot be quantized as the rules ask.
pub(super) fn leave_unquantizable(
    spec: &QuantizeSpec,
    options: &Options,
    graph: &Graph,
    candidates: &[Option<Candidate>],
    resolved: &mut Resolved,
) {
    let layers = candidates.iter().zip(&resolved.plan.layers).enumerate();
    let native: Vec<_> = layers
        .filter_map(|(at, (candidate, plan))| {
            let candidate = candidate.as_ref()?;
            // Only where nothing is folded; codes go where the constant is, and that is before the Transpose.
            if candidate.transposed {
                return Some((at, Reason::WeightNotConstant));
            }
            Some((at, way(options, graph, candidate, plan, plan.weights?).err()?))
        })
        .collect();
    resolved.leave_native(spec, native);
    if options.duplicate_constants {
        return;
    }
    let ways = ways(options, &resolved.plan.layers, |_| true, graph, candidates);
    let torn = ways.into_iter().filter(|(source, ways)| {
        let layers: usize = ways.values().map(|(_, layers)| layers.len()).sum();
        ways.len() > 1 || value_reads(graph, source) > layers
    });
    let native: Vec<_> = torn.flat_map(|(_, ways)| ways.into_values().flat_map(|(_, layers)| layers)).collect();
    resolved.leave_native(spec, native.into_iter().map(|at| (at, Reason::TiedToNative)));
}

/// The ways in which each constant is to be quantized, with the layers that want each.
type Ways = BTreeMap<String, BTreeMap<(Scheme, Form), (WeightScheme, Vec<usize>)>>;

fn ways(
    options: &Options,
    plan: &[LayerPlan],
    kept: impl Fn(usize) -> bool,
    graph: &Graph,
    candidates: &[Option<Candidate>],
) -> Ways {
    let mut ways = Ways::new();
    for (at, candidate) in candidates.iter().enumerate().filter(|(at, _)| kept(*at)) {
        let (Some(candidate), Some(dtype), Decision::Quantize) = (candidate, plan[at].weights, plan[at].decision)
        else {
            continue;
        };
        let Ok((chosen, form)) = way(options, graph, candidate, &plan[at], dtype) else { continue };
        let of_constant = ways.entry(candidate.source.clone()).or_default();
        of_constant.entry((chosen.scheme, form)).or_insert((chosen, Vec::new())).1.push(at);
    }
    ways
}

/// How the weight of a layer is quantized and held, or why it is not.
fn way(
    options: &Options,
    graph: &Graph,
    candidate: &Candidate,
    plan: &LayerPlan,
    dtype: DType,
) -> Result<(WeightScheme, Form), Reason> {
    if is_table(graph, candidate) {
        return Ok((tables::scheme(options, candidate)?, Form::Gathered));
    }
    let (scheme, grid) = options.weight_scheme(dtype, &candidate.shape, candidate.axis)?;
    let chosen = WeightScheme::new(scheme, grid, candidate.format).encoded_by(options.encoder);
    let chosen = WeightScheme { zeros_stored: options.placement.is_unsigned(), ..chosen };
    Ok((chosen, dynamic::form(plan)))
}

/// How often the values of a tensor are read.
fn value_reads(graph: &Graph, tensor: &str) -> usize {
    graph.tensor(tensor).map_or(0, |tensor| graph.value_reads(tensor))
}

/// How constants are quantized.
#[derive(Default)]
pub(super) struct ConstantSchemes {
    pub(super) schemes: BTreeMap<String, WeightScheme>,
    pub(super) forms: Forms,
    /// The constants among them that are copies.
    pub(super) copied: Vec<String>,
}

/// How each constant is quantized that a layer of `kept` computes with. Where something else reads the constant, or layers
/// want it otherwise, each way gets a copy of its own, which `graph` and `candidates` then name.
pub(super) fn choose(
    options: &Options,
    plan: &[LayerPlan],
    kept: impl Fn(usize) -> bool,
    graph: &mut Graph,
    candidates: &mut [Option<Candidate>],
) -> ConstantSchemes {
    let ways = ways(options, plan, kept, graph, candidates);
    let counts: BTreeMap<String, usize> =
        ways.keys().map(|source| (source.clone(), value_reads(graph, source))).collect();
    let mut chosen = ConstantSchemes::default();
    for (source, ways) in ways {
        let layers: usize = ways.values().map(|(_, layers)| layers.len()).sum();
        let mut taken = counts.get(&source).copied().unwrap_or(0) > layers;
        for ((_, form), (scheme, layers)) in ways {
            // The first way keeps the name, unless a reader that wants floats has it.
            let name = if std::mem::replace(&mut taken, true) {
                let Some(copy) = copy(graph, &source, &layers, candidates) else { continue };
                chosen.copied.push(copy.clone());
                copy
            } else {
                source.clone()
            };
            chosen.forms.extend(form.name().map(|_| (name.clone(), form)));
            chosen.schemes.insert(name, scheme);
        }
    }
    chosen
}

/// A copy of a constant, which these layers then read; its name.
fn copy(graph: &mut Graph, source: &str, layers: &[usize], candidates: &mut [Option<Candidate>]) -> Option<String> {
    let constant = graph.tensor(source).and_then(|source| graph.initializer(source)).cloned()?;
    let name = graph.claim(source);
    graph.add_initializer(TensorProto { name: Some(name.clone()), ..constant });
    for at in layers {
        let Some(candidate) = candidates.get_mut(*at).and_then(Option::as_mut) else { continue };
        graph.set_input(Use { node: candidate.node, input: candidate.weight_input }, &name);
        candidate.source.clone_from(&name);
    }
    Some(name)
}
