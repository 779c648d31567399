//! Layers whose activations have scales that are computed as the model runs: products of codes, without calibration.

use super::options::Options;
use crate::{
    backend::graph::{
        forms::{Form, takes_codes},
        inventory::Candidate,
    },
    model::onnx::Graph,
    numeric::DType,
    spec::{Decision, LayerPlan, Objection, ObjectionCode, QuantizeSpec, Reason, Resolved},
};

/// How the weight of a layer is held.
pub(super) fn form(plan: &LayerPlan) -> Form {
    if plan.dynamic && plan.decision == Decision::Quantize { Form::MatMulInteger } else { Form::default() }
}

/// Gives each such layer its form in the plan. What is no product with a constant matrix stays native, with the reason.
pub(super) fn choose(
    spec: &QuantizeSpec,
    options: &Options,
    graph: &Graph,
    candidates: &[Option<Candidate>],
    resolved: &mut Resolved,
) {
    if !options.placement.has_dynamic || options.to_half {
        resolved.objections.extend(objection(spec, options));
        return;
    }
    let mut native = Vec::new();
    for (at, (candidate, plan)) in candidates.iter().zip(&mut resolved.plan.layers).enumerate() {
        if !plan.dynamic {
            continue;
        }
        let dtype = plan.weights.unwrap_or(DType::Int8);
        if candidate.as_ref().is_some_and(|candidate| takes_codes(graph, candidate, dtype)) {
            plan.form = form(plan).name();
        } else {
            native.push((at, Reason::NoDynamicKernel));
        }
    }
    resolved.leave_native(spec, native);
}

/// The objection to dynamic scales where the runtime has no kernel for them.
fn objection(spec: &QuantizeSpec, options: &Options) -> Option<Objection> {
    let asked = |rule: &&crate::spec::LayerRule| rule.activations.is_some_and(|tensor| tensor.dynamic);
    let rule = spec.layers.iter().find(asked)?;
    if options.to_half {
        let message = "scales of activations that are computed as the model runs are those of f32 tensors";
        let pointer = spec.at("backend_kwargs/high_precision_dtype");
        return Some(Objection::new(pointer, ObjectionCode::OptionConflict, message).hint("leave it out"));
    }
    let message = format!(
        "placement `{}` has no scales of activations that are computed as the model runs",
        options.placement.name
    );
    let pointer = format!("{}/activations/dynamic", rule.pointer);
    let hint = "set backend_kwargs.placement to `onnxruntime`, or leave `dynamic` out and give calibration data";
    Some(Objection::new(pointer, ObjectionCode::OptionConflict, message).hint(hint))
}
