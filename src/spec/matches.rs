//! Which pattern matches which layer, and what is to be said of those that match none.

use super::{Layer, Objection, ObjectionCode, Pattern, PatternUse, Plan, QuantizeSpec, Warning, nearest};
use crate::fault::WarningCode;

/// For each pattern, whether it matches each layer.
pub(super) fn hits<'p>(patterns: impl IntoIterator<Item = &'p Pattern>, layers: &[Layer]) -> Vec<Vec<bool>> {
    patterns.into_iter().map(|pattern| layers.iter().map(|layer| layer.matched_by(pattern)).collect()).collect()
}

/// How often each pattern of the section matches.
pub(super) fn pattern_uses(spec: &QuantizeSpec, rules: &[Vec<bool>], skips: &[Vec<bool>]) -> Vec<PatternUse> {
    let used = |pointer: String, pattern: &Pattern, hit: &[bool]| PatternUse {
        pointer,
        pattern: pattern.source().to_owned(),
        matches: hit.iter().filter(|&&h| h).count(),
    };
    let rules = spec.layers.iter().zip(rules);
    let skips = spec.skip_names.iter().zip(skips).enumerate();
    rules
        .map(|(rule, hit)| used(rule.at("module_name"), &rule.module_name, hit))
        .chain(skips.map(|(i, (skip, hit))| used(spec.at(&format!("skip_names/{i}")), skip, hit)))
        .collect()
}

/// Patterns that match nothing: objections, or warnings where the section allows them.
pub(super) fn unmatched(spec: &QuantizeSpec, plan: &Plan, layers: &[Layer]) -> (Vec<Objection>, Vec<Warning>) {
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
