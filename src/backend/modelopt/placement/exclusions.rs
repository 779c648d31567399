//! Layers with weights that TensorRT would not run faster in low precision. A rule that names one has it quantized all the
//! same. (NVIDIA ModelOpt leaves out the same layers.)

use super::{Candidate, Place};
use crate::{model::onnx::int_attribute, numeric::DType, spec::Reason};

/// Channels below which a convolution does not fill the tensor cores.
const FEW_CHANNELS: usize = 16;
/// Elements of a filter's window above which fp8 has no kernel.
const LARGEST_FILTER: usize = 32;

impl Place<'_> {
    /// Layers that only a bare `*` asks for and that are better left alone.
    pub(super) fn excluded(&self) -> Vec<(usize, Reason)> {
        let mut excluded = Vec::new();
        for (layer, candidate) in self.candidates.iter().enumerate() {
            let plan = &self.resolved.plan.layers[layer];
            let (Some(candidate), Some(dtype), true) = (candidate, plan.activations, self.is_quantized(layer)) else {
                continue;
            };
            let rule = self.spec.layers.iter().find(|rule| Some(&rule.pointer) == plan.rule.as_ref());
            if !rule.is_some_and(|rule| rule.module_name.is_catch_all()) {
                continue;
            }
            let reason = match self.op_type(layer) {
                "Conv" => self.convolution(candidate, dtype),
                "Gemm" | "MatMul" => self.is_gemv(candidate).then_some(Reason::GemvLike),
                _ => None,
            };
            excluded.extend(reason.map(|reason| (layer, reason)));
        }
        excluded
    }

    fn convolution(&self, candidate: &Candidate, dtype: DType) -> Option<Reason> {
        let node = &self.graph.node[candidate.node];
        let [outputs, inputs, window @ ..] = candidate.shape.dims() else { return None };
        let groups = int_attribute(node, "group").unwrap_or(1);
        if !dtype.is_integer() && window.iter().product::<usize>() > LARGEST_FILTER {
            return Some(Reason::FilterTooLarge);
        }
        let (wide, deep) = (*outputs >= FEW_CHANNELS, *inputs >= FEW_CHANNELS);
        let aligned = |channels: usize| channels.is_multiple_of(8);
        let fits = if groups > 1 {
            dtype.is_integer() && aligned(*outputs) && window.iter().all(|&size| size >= 3)
        } else {
            let first = self.wiring.producer(&node.input[0]).is_none();
            let square = window.windows(2).all(|pair| pair[0] == pair[1]);
            dtype.is_integer() && (aligned(*outputs) || aligned(*inputs)) && (first || wide || deep) && square
        };
        (!(fits || wide && deep)).then_some(Reason::ChannelsTooFew)
    }

    /// Whether one side of a product is a vector, as far as the graph tells.
    fn is_gemv(&self, candidate: &Candidate) -> bool {
        let outputs = candidate.shape.dims().get(candidate.axis).copied().unwrap_or(0);
        let shape = self.graph.node[candidate.node].output.first().and_then(|output| self.wiring.shape(output));
        outputs == 1 || shape.is_some_and(|shape| shape.len() < 3 && shape.contains(&Some(1)))
    }
}
