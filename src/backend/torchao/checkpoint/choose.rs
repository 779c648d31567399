//! From the plan to a scheme for each weight, and what only shows once the scheme is known.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    backend::{
        layouts::{self, Layout},
        torchao::options::Options,
        weights::WeightScheme,
    },
    model::checkpoint::Checkpoint,
    numeric::DType,
    quant::{Grid, Scheme},
    spec::{Decision, Layer, Objection, ObjectionCode, QuantizeSpec, Reason, Resolved},
};

/// One entry for each tensor in the order of the files; `None` where it is not quantized. Layers that the options or
/// the layout rule out are left native in `resolved`, with the reason.
pub(super) fn choose(
    spec: &QuantizeSpec,
    options: &Options,
    layout: &Layout,
    checkpoint: &Checkpoint,
    layers: &[Layer],
    ties: &BTreeMap<usize, usize>,
    resolved: &mut Resolved,
) -> Vec<Option<WeightScheme>> {
    let mut weights = Vec::new();
    resolved.leave_calibrated_native();
    let mut native = untie(ties, resolved);
    for (at, (plan, (_, tensor))) in resolved.plan.layers.iter().zip(checkpoint.tensors()).enumerate() {
        let wanted = (plan.weights, tensor.float_format());
        let (Some(dtype), Some(format)) = wanted else {
            weights.push(None);
            continue;
        };
        let weight = options.scheme(dtype, &tensor.shape).and_then(|scheme| {
            let grid = Grid::new(&tensor.shape, scheme.granularity).ok_or(Reason::ShapeUnsupported)?;
            let weight = WeightScheme::new(scheme, grid, format).encoded_by(options.encoder).beside(plan.activations);
            if layout.carries(&plan.op_type, &weight) { Ok(weight) } else { Err(Reason::LayoutUnsupported) }
        });
        native.extend(weight.as_ref().err().map(|&reason| (at, reason)));
        weights.push(weight.ok());
    }
    for (at, _) in &native {
        weights[*at] = None;
    }
    resolved.leave_native(spec, native);
    resolved.objections.extend(object_to_activations(spec, layout, layers, &weights));
    let schemes: BTreeSet<(Scheme, Option<DType>)> =
        weights.iter().flatten().map(|weight| (weight.scheme, weight.activations)).collect();
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

/// What is wrong with activations that stand beside weights of another rule, or in a layout that has no word for them: once
/// for each rule of activations.
fn object_to_activations(
    spec: &QuantizeSpec,
    layout: &Layout,
    layers: &[Layer],
    weights: &[Option<WeightScheme>],
) -> Vec<Objection> {
    let mut objections = BTreeMap::new();
    for (layer, weight) in layers.iter().zip(weights) {
        let Some((weight, activations)) = weight.as_ref().and_then(|weight| Some((weight, weight.activations?))) else {
            continue;
        };
        let pointer = layer.activations_rule(spec).map_or(spec.at("layers"), |rule| rule.at("activations"));
        if let Some(objection) = layouts::objection(&pointer, &weight.scheme, activations, Some(layout)) {
            objections.entry(pointer).or_insert(objection);
        }
    }
    objections.into_values().collect()
}

/// Tied weights are one tensor: where the rules agree on all its names it is done once, else it stays as it is.
fn untie(ties: &BTreeMap<usize, usize>, resolved: &Resolved) -> Vec<(usize, Reason)> {
    let layers = &resolved.plan.layers;
    let wanted = |at: usize| (layers[at].weights, layers[at].activations);
    let disagreed: BTreeSet<usize> = ties
        .iter()
        .filter(|(at, original)| wanted(**at) != wanted(**original))
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        backend::torchao::checkpoint::OpenedCheckpoint,
        model::safetensors::{OutTensor, ShardWriter, open},
        spec::parse,
        tensor::Shape,
    };

    /// Two Linears, `up` and `down`, and a norm.
    fn opened(layers: Value, options: Value) -> OpenedCheckpoint {
        let section = json!({"backend": "torchao", "layers": layers, "backend_kwargs": options});
        let parsed = parse(&section, "");
        assert_eq!(parsed.objections, []);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.safetensors");
        let out = [("up", vec![8, 128]), ("down", vec![8, 128]), ("norm", vec![8])].map(|(module, dims)| {
            let shape = Shape::new(dims).unwrap();
            OutTensor { name: format!("{module}.weight"), dtype: "BF16".to_owned(), bits: 16, shape }
        });
        ShardWriter::create(&path, out.into(), &BTreeMap::new()).unwrap().finish().unwrap();
        OpenedCheckpoint::new(&parsed.spec, open(&path).unwrap()).unwrap()
    }

    fn found(layers: Value, options: Value) -> Vec<(String, ObjectionCode)> {
        let objections = opened(layers, options).resolved.objections;
        objections.into_iter().map(|objection| (objection.pointer, objection.code)).collect()
    }

    #[test]
    fn the_plan_has_activations_that_are_declared_and_none_that_would_be_calibrated() {
        let int8 = json!({"dtype": "int8"});
        let rules = json!([
            {"module_name": "*", "weights": int8, "activations": {"dtype": "int8", "dynamic": true}},
            {"module_name": "down", "activations": int8}]);
        let layout = json!({"layout": "compressed-tensors"});
        let opened = opened(rules, layout);
        assert_eq!(opened.resolved.objections, []);
        let planned = |name: &str| {
            let at = opened.resolved.plan.layers.iter().position(|plan| plan.name == name).unwrap();
            let plan = &opened.resolved.plan.layers[at];
            (plan.activations, plan.dynamic, opened.weights[at].and_then(|weight| weight.activations))
        };
        assert_eq!(planned("up"), (Some(DType::Int8), true, Some(DType::Int8)));
        assert_eq!(planned("down"), (None, false, None));
        assert_eq!(planned("norm"), (None, false, None));
    }

    #[test]
    fn weights_of_one_rule_must_go_with_the_activations_of_another() {
        let rules = json!([
            {"module_name": "*", "activations": {"dtype": "int8", "dynamic": true}},
            {"module_name": "*", "weights": {"dtype": "int8"}},
            {"module_name": "down", "weights": {"dtype": "fp8_e4m3fn"}}]);
        let unsupported = vec![("/layers/0/activations".to_owned(), ObjectionCode::UnsupportedActivations)];
        assert_eq!(found(rules, json!({"layout": "compressed-tensors"})), unsupported);
        let dynamic = json!({"dtype": "int8", "dynamic": true});
        let alike = json!([{"module_name": "*", "weights": {"dtype": "int8"}, "activations": dynamic}]);
        assert_eq!(found(alike.clone(), json!({})), unsupported, "there is no config.json to say it in");
        assert_eq!(found(alike, json!({"layout": "torchao"})), []);
    }

    #[test]
    fn a_layout_of_one_scheme_has_no_place_for_activations_of_some_layers() {
        let rules = json!([
            {"module_name": "*", "weights": {"dtype": "int8"}},
            {"module_name": "down", "activations": {"dtype": "int8", "dynamic": true}}]);
        let conflict = ("/backend_kwargs/layout".to_owned(), ObjectionCode::OptionConflict);
        assert_eq!(found(rules, json!({"layout": "torchao"})), [conflict]);
    }
}
