//! From the plan to a scheme for each weight, and what only shows once the scheme is known.

use std::collections::{BTreeMap, BTreeSet};

use super::options::Options;
use crate::backend::layouts::Layout;
use crate::{
    backend::stored::WeightScheme,
    model::checkpoint::Checkpoint,
    quant::{Grid, Scheme},
    spec::{Decision, Objection, ObjectionCode, QuantizeSpec, Reason, Resolved},
};

/// One entry for each tensor in the order of the files; `None` where it is not quantized. Layers that the options or
/// the layout rule out are left native in `resolved`, with the reason.
pub(super) fn choose(
    spec: &QuantizeSpec,
    options: &Options,
    layout: &dyn Layout,
    checkpoint: &Checkpoint,
    ties: &BTreeMap<usize, usize>,
    resolved: &mut Resolved,
) -> Vec<Option<WeightScheme>> {
    let mut chosen = Vec::new();
    let mut native = untie(ties, resolved);
    for (at, (plan, (_, tensor))) in resolved.plan.layers.iter().zip(checkpoint.tensors()).enumerate() {
        let wanted = (plan.weights, tensor.float_format());
        let (Some(dtype), Some(format)) = wanted else {
            chosen.push(None);
            continue;
        };
        let scheme = options.scheme(dtype, &tensor.shape);
        let one = scheme.and_then(|scheme| {
            let grid = Grid::new(&tensor.shape, scheme.granularity).ok_or(Reason::ShapeUnsupported)?;
            let one = WeightScheme { scheme, grid, format };
            if layout.carries(&plan.op_type, &one) { Ok(one) } else { Err(Reason::LayoutUnsupported) }
        });
        native.extend(one.as_ref().err().map(|&reason| (at, reason)));
        chosen.push(one.ok());
    }
    for (at, _) in &native {
        chosen[*at] = None;
    }
    resolved.leave_native(spec, native);
    let schemes: BTreeSet<Scheme> = chosen.iter().flatten().map(|one| one.scheme).collect();
    if !layout.mixes_schemes() && schemes.len() > 1 {
        let message =
            format!("the layout {} holds one scheme for the whole model, and the rules make several", layout.name());
        resolved.objections.push(
            Objection::new(spec.at("backend_kwargs/layout"), ObjectionCode::OptionConflict, message)
                .hint("use the layout `compressed-tensors`, or one dtype"),
        );
    }
    chosen
}

/// Tied weights are one tensor: where the rules agree on all its names it is done once, else it stays as it is.
fn untie(ties: &BTreeMap<usize, usize>, resolved: &Resolved) -> Vec<(usize, Reason)> {
    let layers = &resolved.plan.layers;
    let disagreed: BTreeSet<usize> = ties
        .iter()
        .filter(|(at, kept)| layers[**at].weights != layers[**kept].weights)
        .map(|(_, &kept)| kept)
        .collect();
    let mut native = Vec::new();
    for (&at, &kept) in ties {
        native.push((at, if disagreed.contains(&kept) { Reason::TiedToNative } else { Reason::Tied }));
    }
    let quantized = |at: usize| layers[at].decision == Decision::Quantize;
    native.extend(disagreed.into_iter().filter(|&kept| quantized(kept)).map(|kept| (kept, Reason::TiedToNative)));
    native
}
