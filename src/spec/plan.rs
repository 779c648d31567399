//! [`Plan`]: what will happen to each layer of a model, and why, before anything is computed.

use serde::Serialize;

use super::{Choice, Objection, ObjectionCode, Pattern, QuantizeSpec, Reason, Warning, nearest};
use crate::{fault::WarningCode, numeric::DType};

/// What a backend can do with a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// Quantized by any rule that matches.
    Yes,
    /// Only by a rule that names it more closely than a bare `*`.
    IfNamed(Reason),
    /// It has no weights; its inputs are quantized by any rule that asks for activations.
    InputsOnly,
    /// Never, for this reason.
    No(Reason),
}

/// One layer of a model, as rules see it.
#[derive(Clone, Debug)]
pub struct Layer {
    /// The name in plans and reports.
    pub name: String,
    /// Other names that rules may use, e.g. that of its weight.
    pub aliases: Vec<String>,
    /// Its operator or class, then other names of the same: `Conv`, `Conv2d`.
    pub classes: Vec<String>,
    /// What the backend can do with it.
    pub support: Support,
}

impl Layer {
    fn matched_by(&self, pattern: &Pattern) -> bool {
        let names = self.aliases.iter().chain([&self.name]).map(String::as_str);
        pattern.matches(names, self.classes.iter().map(String::as_str))
    }
}

/// What happens to a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Its weights, and where the plan says so its activations, are quantized.
    Quantize,
    /// It is left as it is.
    Native,
}

/// The plan for one layer.
#[derive(Clone, Debug, Serialize)]
pub struct LayerPlan {
    /// The layer's name.
    pub name: String,
    /// Its operator or class.
    pub op_type: String,
    /// What happens to it.
    pub decision: Decision,
    /// Why.
    pub reason: Reason,
    /// JSON pointer to the rule or skip that decided, if one did.
    pub rule: Option<String>,
    /// The dtype of its weights; null for native.
    pub weights: Option<DType>,
    /// The dtype of its activations; null for native.
    pub activations: Option<DType>,
    /// The calibration algorithm that a rule gives its activations; null for the section's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<String>,
}

/// How often one pattern of the request matched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PatternUse {
    /// JSON pointer to the pattern.
    pub pointer: String,
    /// The pattern.
    pub pattern: String,
    /// Number of layers it matches, whatever then happens to them.
    pub matches: usize,
}

/// What will happen to a model.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Plan {
    /// Every layer, in the model's order.
    pub layers: Vec<LayerPlan>,
    /// Every pattern, in the request's order.
    pub patterns: Vec<PatternUse>,
}

/// A plan with what is to be said about it.
#[derive(Debug)]
pub struct Resolved {
    /// The plan.
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
        let weights = matching().filter_map(|r| Some((r, r.weights?.dtype))).next_back();
        let activations = matching().filter_map(|r| Some((r, r.activations?.dtype))).next_back();
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
            algorithm: None,
        };
        let pointer = decided.map(|rule| rule.pointer.clone());
        let wanted = |half: Option<(_, Choice)>| half.and_then(|(_, choice)| choice.dtype());
        match (skip, decided, layer.support) {
            (Some(at), ..) => native(Reason::Skipped, Some(spec.at(&format!("skip_names/{at}")))),
            (_, _, Support::No(reason)) => native(reason, None),
            (_, None, _) => native(Reason::Unmatched, None),
            (_, Some(rule), Support::IfNamed(reason)) if rule.module_name.is_catch_all() => native(reason, pointer),
            (.., Support::InputsOnly) if wanted(activations).is_none() => native(Reason::NoWeight, pointer),
            (.., Support::InputsOnly) => LayerPlan {
                decision: Decision::Quantize,
                activations: wanted(activations),
                algorithm: algorithm(),
                ..native(Reason::Rule, pointer)
            },
            _ if wanted(weights).is_none() => native(Reason::RuleNative, pointer),
            _ => LayerPlan {
                decision: Decision::Quantize,
                weights: wanted(weights),
                activations: wanted(activations),
                algorithm: algorithm(),
                ..native(Reason::Rule, pointer)
            },
        }
    });
    let plan = Plan { layers: plans.collect(), patterns: pattern_uses(spec, &rule_hits, &skip_hits) };
    let (objections, warnings) = unmatched(spec, &plan, layers);
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
        }
        self.check_something_is_quantized(spec);
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
        } else {
            "name the layers to quantize, by name or by class"
        };
        let objection = Objection::new(spec.at("layers"), ObjectionCode::NothingToQuantize, message);
        self.objections.push(objection.hint(hint));
    }
}

fn hits<'p>(patterns: impl IntoIterator<Item = &'p Pattern>, layers: &[Layer]) -> Vec<Vec<bool>> {
    patterns.into_iter().map(|pattern| layers.iter().map(|layer| layer.matched_by(pattern)).collect()).collect()
}

fn pattern_uses(spec: &QuantizeSpec, rules: &[Vec<bool>], skips: &[Vec<bool>]) -> Vec<PatternUse> {
    let used = |pointer: String, pattern: &Pattern, hit: &[bool]| PatternUse {
        pointer,
        pattern: pattern.source().to_owned(),
        matches: hit.iter().filter(|&&h| h).count(),
    };
    let rules = spec.layers.iter().zip(rules);
    let skips = spec.skip_names.iter().zip(skips).enumerate();
    rules
        .map(|(rule, hit)| used(format!("{}/module_name", rule.pointer), &rule.module_name, hit))
        .chain(skips.map(|(i, (skip, hit))| used(spec.at(&format!("skip_names/{i}")), skip, hit)))
        .collect()
}

fn unmatched(spec: &QuantizeSpec, plan: &Plan, layers: &[Layer]) -> (Vec<Objection>, Vec<Warning>) {
    let (mut objections, mut warnings) = (Vec::new(), Vec::new());
    let names = || layers.iter().flat_map(|l| l.classes.iter().chain([&l.name]).chain(&l.aliases)).map(String::as_str);
    for used in plan.patterns.iter().filter(|used| used.matches == 0) {
        let message = format!("`{}` matches none of the model's {} layers", used.pattern, layers.len());
        if spec.allow_unmatched {
            warnings.push(Warning::at(&used.pointer, WarningCode::UnmatchedPattern, message));
            continue;
        }
        let near = nearest(&used.pattern, names());
        let hint = match near.as_slice() {
            [] => "`ptqd quantize --plan-only` lists the names; `allow_unmatched: true` accepts this".to_owned(),
            near => format!("did you mean {}?", near.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(" or ")),
        };
        objections
            .push(Objection::new(&used.pointer, ObjectionCode::UnmatchedPattern, message).hint(hint).allowed(near));
    }
    (objections, warnings)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
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
    fn a_plan_that_quantizes_nothing_is_an_objection() {
        let resolved = plan(json!({"layers": [{"module_name": "norm", "weights": {"dtype": "int8"}}]}));
        assert_eq!(resolved.objections[0].code, ObjectionCode::NothingToQuantize);
    }
}
