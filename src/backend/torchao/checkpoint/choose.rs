//! From the plan to a scheme for each weight, and what only shows once the scheme is known.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    backend::{layouts::Layout, torchao::options::Options, weights::WeightScheme},
    model::checkpoint::Checkpoint,
    quant::{Grid, Scheme},
    spec::{Decision, Objection, ObjectionCode, QuantizeSpec, Reason, Resolved},
};

/// One entry for each tensor in the order of the files; `None` where it is not quantized. Layers that the options or
/// the layout rule out are left native in `resolved`, with the reason.
pub(super) fn choose(
    spec: &QuantizeSpec,
    options: &Options,
    layout: &Layout,
    checkpoint: &Checkpoint,
    ties: &BTreeMap<usize, usize>,
    resolved: &mut Resolved,
) -> Vec<Option<WeightScheme>> {
    let mut weights = Vec::new();
    let mut native = untie(ties, resolved);
    for (at, (plan, (_, tensor))) in resolved.plan.layers.iter().zip(checkpoint.tensors()).enumerate() {
        let wanted = (plan.weights, tensor.float_format());
        let (Some(dtype), Some(format)) = wanted else {
            weights.push(None);
            continue;
        };
        let weight = options.scheme(dtype, &tensor.shape).and_then(|scheme| {
            let grid = Grid::new(&tensor.shape, scheme.granularity).ok_or(Reason::ShapeUnsupported)?;
            let weight = WeightScheme::new(scheme, grid, format).encoded_by(options.encoder);
            if layout.carries(&plan.op_type, &weight) { Ok(weight) } else { Err(Reason::LayoutUnsupported) }
        });
        native.extend(weight.as_ref().err().map(|&reason| (at, reason)));
        weights.push(weight.ok());
    }
    for (at, _) in &native {
        weights[*at] = None;
    }
    resolved.leave_native(spec, native);
    let schemes: BTreeSet<Scheme> = weights.iter().flatten().map(|weight| weight.scheme).collect();
    if !layout.mixes_schemes && schemes.len() > 1 {
        let message =
            format!("the layout {} holds one scheme for the whole model, and the rules make several", layout.name);
        resolved.objections.push(
            Objection::new(spec.at("backend_kwargs/layout"), ObjectionCode::OptionConflict, message)
                .hint("use the layout `compressed-tensors`, or one dtype"),
        );
    }
    weights
}

/// Tied weights are one tensor: where the rules agree on all its names it is done once, else it stays as it is.
fn untie(ties: &BTreeMap<usize, usize>, resolved: &Resolved) -> Vec<(usize, Reason)> {
    let layers = &resolved.plan.layers;
    let disagreed: BTreeSet<usize> = ties
        .iter()
        .filter(|(at, original)| layers[**at].weights != layers[**original].weights)
        .map(|(_, &original)| original)
        .collect();
    let mut native = Vec::new();
    for (&at, &original) in ties {
        native.push((at, if disagreed.contains(&original) { Reason::TiedToNative } else { Reason::Tied }));
    }
    let quantized = |at: usize| layers[at].decision == Decision::Quantize;
    native.extend(
        disagreed.into_iter().filter(|&original| quantized(original)).map(|original| (original, Reason::TiedToNative)),
    );
    native
}
