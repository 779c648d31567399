//! [`Layer`]: one layer of a model, as rules see it.

use super::{LayerRule, Pattern, QuantizeSpec, Reason};

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
    /// The rule that says what becomes of its activations, if one does: the last that matches.
    pub fn activations_rule<'s>(&self, spec: &'s QuantizeSpec) -> Option<&'s LayerRule> {
        let mut rules = spec.layers.iter().rev().filter(|rule| rule.activations.is_some());
        rules.find(|rule| self.matched_by(&rule.module_name))
    }

    pub(super) fn matched_by(&self, pattern: &Pattern) -> bool {
        let names = self.aliases.iter().chain([&self.name]).map(String::as_str);
        pattern.matches(names, self.classes.iter().map(String::as_str))
    }
}
