//! [`Placement`]: what a row of the table of placements says.

use std::collections::BTreeSet;

use super::{
    kernel::{Kernel, Kernels},
    site::QdqSite,
    view::View,
};
use crate::{backend::graph::inventory::Candidate, model::onnx::Graph, numeric::DType, spec::Reason};

/// Whose rules say which tensors get Q/DQ pairs.
#[derive(Debug)]
pub(in crate::backend::modelopt) struct Placement {
    /// The name that users type.
    pub(in crate::backend::modelopt) name: &'static str,
    /// Where pairs stand.
    pub(super) rules: Rules,
    /// Which layers with weights the runtime gains nothing from, so that a bare `*` leaves them alone.
    pub(super) excluded: Option<ExclusionRule>,
    /// Which tensors are to share a range.
    pub(super) joined: Option<JoinRule>,
    /// Whether the runtime is fast with scales of activations that are computed as the model runs.
    pub(in crate::backend::modelopt) has_dynamic: bool,
    /// Whether embedding tables are stored in int8, of which the runtime decodes the rows that are picked.
    pub(in crate::backend::modelopt) has_tables: bool,
    /// Whether the runtime computes each operator in the type that the graph gives it, and in no other.
    pub(in crate::backend::modelopt) strongly_typed: bool,
    /// Whether linear layers of more than two dimensions are written as Gemms.
    pub(in crate::backend::modelopt) flattens: bool,
    /// Whether image channels are padded to a multiple of 4.
    pub(in crate::backend::modelopt) pads_channels: bool,
    /// Whether reductions keep their axes, which are removed behind them.
    pub(in crate::backend::modelopt) keeps_reduced_dims: bool,
    /// Whether the runtime is OpenVINO, in which results are timed where its library is given.
    pub(in crate::backend::modelopt) in_openvino: bool,
    /// Whether int8 weights use 7 of their 8 bits, where the job does not say, on CPUs whose integer kernels saturate.
    pub(in crate::backend::modelopt) reduce_range: bool,
}

/// Where pairs stand.
#[derive(Debug)]
pub(super) enum Rules {
    /// Before inputs: of layers with weights, and of these operators without one by the rule that says which.
    Inputs(&'static [(&'static str, InputRule)]),
    /// Behind what integer kernels give, and before what they read.
    Codes(Kernels),
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
        match self.rules {
            Rules::Inputs(rules) => rules.iter().map(|(op, _)| *op).collect(),
            Rules::Codes(kernels) => {
                let without_weights = |kernel: &Kernel| matches!(kernel, Kernel::Joins | Kernel::Product);
                kernels.iter().filter(|(_, kernel)| without_weights(kernel)).map(|(op, _)| *op).collect()
            }
        }
    }

    /// Whether activations have codes from 0 to 255, and zero points where the job does not say otherwise.
    pub(in crate::backend::modelopt) fn is_unsigned(&self) -> bool {
        matches!(self.rules, Rules::Codes(_))
    }

    /// The tensors that are to share a range.
    pub(in crate::backend::modelopt) fn joined(&self, graph: &Graph, sites: &[QdqSite]) -> Vec<BTreeSet<String>> {
        self.joined.map(|rule| rule(graph, sites)).unwrap_or_default()
    }
}
