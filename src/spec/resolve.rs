//! [`resolve`]: from rules and layers to the plan.

use super::{
    Decision, Layer, LayerPlan, Objection, ObjectionCode, Plan, QuantizeSpec, Reason, Support, TensorRule, Warning,
    matches::{hits, pattern_uses, unmatched},
};

/// A plan with what is to be said about it.
#[derive(Debug)]
pub struct Resolved {
    /// One decision for each layer of the model.
    pub plan: Plan,
    /// Patterns that match nothing, or nothing quantized at all.
    pub objections: Vec<Objection>,
    /// The same where the request allows it.
    pub warnings: Vec<Warning>,
}

/// Applies the rules to the layers: the last rule that matches wins, for each half separately; a skip beats all;
/// layers that no rule matches stay native.
pub fn resolve(spec: &QuantizeSpec, layers: &[Layer]) -> Resolved {
    let rule_hits: Vec<Vec<bool>> = hits(spec.layers.iter().map(|rule| &rule.module_name), layers);
    let skip_hits: Vec<Vec<bool>> = hits(&spec.skip_names, layers);
    let plans = layers.iter().enumerate().map(|(i, layer)| {
        let skip = skip_hits.iter().position(|hit| hit[i]);
        let matching = || spec.layers.iter().zip(&rule_hits).filter(|(_, hit)| hit[i]).map(|(rule, _)| rule);
        let weights = matching().filter_map(|r| Some((r, r.weights?))).next_back();
        let activations = matching().filter_map(|r| Some((r, r.activations?))).next_back();
        let algorithm = || matching().filter_map(|rule| rule.algorithm.clone()).next_back();
        let decided = weights.or(activations).map(|(rule, _)| rule);
        let native = |reason, rule| LayerPlan {
            name: layer.name.clone(),
            op_type: layer.classes.first().cloned().unwrap_or_default(),
            decision: Decision::Native,
            reason,
            rule,
            weights: None,
            activations: None,
            dynamic: false,
            algorithm: None,
            form: None,
        };
        let pointer = decided.map(|rule| rule.pointer.clone());
        let wanted = |half: Option<(_, TensorRule)>| half.and_then(|(_, tensor)| tensor.dtype.dtype());
        let dynamic = activations.is_some_and(|(_, tensor)| tensor.dynamic && tensor.dtype.dtype().is_some());
        match (skip, decided, layer.support) {
            (Some(at), ..) => native(Reason::Skipped, Some(spec.at(&format!("skip_names/{at}")))),
            (_, _, Support::No(reason)) => native(reason, None),
            (_, None, _) => native(Reason::Unmatched, None),
            (_, Some(rule), Support::IfNamed(reason)) if rule.module_name.is_catch_all() => native(reason, pointer),
            (.., Support::InputsOnly) if wanted(activations).is_none() => native(Reason::NoWeight, pointer),
            (.., Support::InputsOnly) => LayerPlan {
                decision: Decision::Quantize,
                activations: wanted(activations),
                dynamic,
                algorithm: algorithm(),
                ..native(Reason::Rule, pointer)
            },
            _ if wanted(weights).is_none() => native(Reason::RuleNative, pointer),
            _ => LayerPlan {
                decision: Decision::Quantize,
                weights: wanted(weights),
                activations: wanted(activations),
                dynamic,
                algorithm: algorithm(),
                ..native(Reason::Rule, pointer)
            },
        }
    });
    let plan = Plan { layers: plans.collect(), patterns: pattern_uses(spec, &rule_hits, &skip_hits) };
    let (objections, warnings) = match layers {
        [] => {
            let message = "the model has no layers, so there is nothing to quantize";
            let hint = "is it the model that you meant?";
            let objection = Objection::new(spec.at("layers"), ObjectionCode::NothingToQuantize, message).hint(hint);
            (vec![objection], Vec::new())
        }
        _ => unmatched(spec, &plan, layers),
    };
    let mut resolved = Resolved { plan, objections, warnings };
    resolved.check_something_is_quantized(spec);
    resolved
}

impl Resolved {
    /// Leaves layers native that the rules would have quantized, for what only shows once their dtype is known.
    pub fn leave_native(&mut self, spec: &QuantizeSpec, layers: impl IntoIterator<Item = (usize, Reason)>) {
        for (at, reason) in layers {
            let plan = &mut self.plan.layers[at];
            (plan.decision, plan.reason, plan.weights, plan.activations) = (Decision::Native, reason, None, None);
            (plan.dynamic, plan.form) = (false, None);
        }
        self.check_something_is_quantized(spec);
    }

    /// Takes those activations out of the plan whose ranges would have to be calibrated: the backend does not.
    pub fn leave_calibrated_native(&mut self) {
        self.plan.layers.iter_mut().filter(|plan| !plan.dynamic).for_each(|plan| plan.activations = None);
    }

    fn check_something_is_quantized(&mut self, spec: &QuantizeSpec) {
        let native = self.plan.layers.iter().all(|layer| layer.decision == Decision::Native);
        if !self.objections.is_empty() || !native {
            return;
        }
        let mut why: Vec<String> = self.plan.layers.iter().map(|layer| layer.reason.name().to_owned()).collect();
        why.sort();
        why.dedup();
        let message = format!("the rules leave every layer of the model as it is ({})", why.join(", "));
        let has = |reason: Reason| self.plan.layers.iter().any(|layer| layer.reason == reason);
        let hint = if has(Reason::LayoutUnsupported) {
            "set backend_kwargs.layout to `plain`, which has a place for every weight"
        } else if has(Reason::GroupRagged) {
            "choose a group size that divides the columns of the weights, or another granularity"
        } else if has(Reason::DtypeUnsupported) {
            "convert the model to f32"
        } else {
            "name the layers to quantize, by name or by class"
        };
        let objection = Objection::new(spec.at("layers"), ObjectionCode::NothingToQuantize, message);
        self.objections.push(objection.hint(hint));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::numeric::DType;
    use crate::spec::parse;

    fn layer(name: &str, class: &str, support: Support) -> Layer {
        Layer { name: name.to_owned(), aliases: vec![], classes: vec![class.to_owned()], support }
    }

    fn model() -> Vec<Layer> {
        vec![
            layer("stem", "Conv2d", Support::IfNamed(Reason::ConvolutionNotNamed)),
            layer("body.fc1", "Linear", Support::Yes),
            layer("body.fc2", "Linear", Support::Yes),
            layer("norm", "LayerNorm", Support::No(Reason::OpUnsupported)),
        ]
    }

    fn plan(quantize: serde_json::Value) -> Resolved {
        let parsed = parse(&quantize, "/quantize");
        assert_eq!(parsed.objections, []);
        resolve(&parsed.spec, &model())
    }

    fn reasons(resolved: &Resolved) -> Vec<Reason> {
        resolved.plan.layers.iter().map(|layer| layer.reason).collect()
    }

    #[test]
    fn a_bare_star_takes_what_needs_no_naming() {
        let resolved = plan(json!({"layers": [{"module_name": "*", "weights": {"dtype": "int8"}}]}));
        assert_eq!(
            reasons(&resolved),
            [Reason::ConvolutionNotNamed, Reason::Rule, Reason::Rule, Reason::OpUnsupported]
        );
        assert_eq!(resolved.plan.patterns[0].matches, 4);
    }

    #[test]
    fn the_last_rule_wins_for_each_half_and_a_skip_beats_all() {
        let resolved = plan(json!({"layers": [
            {"module_name": "*", "weights": {"dtype": "int8"}, "activations": {"dtype": "int8"}},
            {"module_name": "Conv2d", "weights": {"dtype": "fp8_e4m3fn"}},
            {"module_name": "*fc1", "weights": {"dtype": "native"}}],
            "skip_names": ["body.fc2"]}));
        assert_eq!(reasons(&resolved), [Reason::Rule, Reason::RuleNative, Reason::Skipped, Reason::OpUnsupported]);
        let stem = &resolved.plan.layers[0];
        assert_eq!((stem.weights, stem.activations), (Some(DType::Fp8E4m3fn), Some(DType::Int8)));
        assert_eq!(resolved.plan.layers[2].rule.as_deref(), Some("/quantize/skip_names/0"));
    }

    #[test]
    fn a_pattern_that_matches_nothing_is_an_objection_with_the_nearest_names_or_a_warning() {
        let quantize =
            json!({"layers": [{"module_name": "*", "weights": {"dtype": "int8"}}], "skip_names": ["body.fc3"]});
        let resolved = plan(quantize.clone());
        let [objection] = &resolved.objections[..] else { panic!("{:?}", resolved.objections) };
        assert_eq!(
            (objection.code, &objection.pointer[..]),
            (ObjectionCode::UnmatchedPattern, "/quantize/skip_names/0")
        );
        assert_eq!(objection.allowed[..2], ["body.fc1", "body.fc2"]);

        let mut allowed = quantize;
        allowed["allow_unmatched"] = json!(true);
        let resolved = plan(allowed);
        assert!(resolved.objections.is_empty());
        assert_eq!(resolved.warnings[0].code, "unmatched_pattern");
    }

    #[test]
    fn a_model_without_layers_has_nothing_to_quantize() {
        let parsed = parse(&json!({"layers": [{"module_name": "fc*", "weights": {"dtype": "int8"}}]}), "/quantize");
        let resolved = resolve(&parsed.spec, &[]);
        let codes: Vec<_> = resolved.objections.iter().map(|objection| objection.code).collect();
        assert_eq!(codes, [ObjectionCode::NothingToQuantize]);
    }

    #[test]
    fn a_plan_that_quantizes_nothing_is_an_objection() {
        let resolved = plan(json!({"layers": [{"module_name": "norm", "weights": {"dtype": "int8"}}]}));
        assert_eq!(resolved.objections[0].code, ObjectionCode::NothingToQuantize);
        let parsed = parse(&json!({"layers": [{"module_name": "*", "weights": {"dtype": "int8"}}]}), "/quantize");
        let double = layer("fc", "Linear", Support::No(Reason::DtypeUnsupported));
        assert_eq!(resolve(&parsed.spec, &[double]).objections[0].hint, "convert the model to f32");
    }
}
