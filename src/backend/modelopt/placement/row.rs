//! [`Placement`]: what a row of the table of placements says.

use std::collections::BTreeSet;

use super::{site::QdqSite, view::View};
use crate::{backend::graph::inventory::Candidate, model::onnx::Graph, numeric::DType, spec::Reason};

/// Whose rules say which inputs get Q/DQ pairs.
#[derive(Debug)]
pub(in crate::backend::modelopt) struct Placement {
    /// The name that users type.
    pub(in crate::backend::modelopt) name: &'static str,
    /// The operators without weights whose inputs may be quantized, and for each the rule that says which are.
    pub(super) without_weights: &'static [(&'static str, InputRule)],
    /// Which layers with weights the runtime gains nothing from, so that a bare `*` leaves them alone.
    pub(super) excluded: Option<ExclusionRule>,
    /// Which tensors are to share a range.
    pub(super) joined: Option<JoinRule>,
    /// Whether int8 weights use 7 of their 8 bits where the job does not say.
    pub(in crate::backend::modelopt) reduce_range: bool,
}

/// Which inputs of a layer without weights get a pair, or why none does. The number is that of the layer.
pub(super) type InputRule = fn(&View<'_>, usize) -> Result<Vec<usize>, Reason>;

/// Why a layer with this weight, whose inputs would have this dtype, is better left alone.
pub(super) type ExclusionRule = fn(&View<'_>, &Candidate, DType) -> Option<Reason>;

/// Groups of tensors, by name, of which all are to have the largest of their ranges.
pub(super) type JoinRule = fn(&Graph, &[QdqSite]) -> Vec<BTreeSet<String>>;

impl Placement {
    /// The operators without weights whose inputs may be quantized.
    pub(in crate::backend::modelopt) fn inputs_only(&self) -> Vec<&'static str> {
        self.without_weights.iter().map(|(op, _)| *op).collect()
    }

    /// The tensors that are to share a range.
    pub(in crate::backend::modelopt) fn joined(&self, graph: &Graph, sites: &[QdqSite]) -> Vec<BTreeSet<String>> {
        self.joined.map(|rule| rule(graph, sites)).unwrap_or_default()
    }
}
