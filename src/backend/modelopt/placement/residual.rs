//! The addition at the end of a residual block.
//!
//! TensorRT fuses a convolution with the addition behind it when the other summand arrives in low precision. So the branch
//! that ends in the convolution stays as it is, and the other one gets the pair. Where both branches end in one, the longer
//! is the one that fuses: the shortcut's convolution has been waiting. (NVIDIA ModelOpt places its pairs by the same rule.)

use super::{Place, wiring::op};
use crate::spec::Reason;

/// Operators that a runtime fuses into the convolution before them.
const FUSED: [&str; 5] = ["Add", "BatchNormalization", "MaxPool", "Mul", "Relu"];

impl Place<'_> {
    /// Which input of an addition arrives by the branch that does not fuse.
    pub(super) fn residual_input(&self, layer: usize) -> Result<usize, Reason> {
        let node = self.nodes[layer];
        let inputs = self.wiring.variable_inputs(&self.graph.node[node]);
        let [(first, Some(a)), (second, Some(b))] = inputs[..] else { return Err(Reason::NotResidual) };
        let backbones = [self.backbone(a), self.backbone(b)];
        let quantized = |backbone: usize| self.with_quantized_inputs(backbone).is_some();
        let (residual, backbone) = match backbones {
            [Some(left), Some(right)] if left != right => {
                let (before_a, before_b) =
                    (self.wiring.distances_before(self.graph, a), self.wiring.distances_before(self.graph, b));
                let common = before_a.iter().filter_map(|(node, d)| Some((*d, *before_b.get(node)?)));
                // Of the nodes before both, the nearest one.
                let nearest = common.min_by_key(|(to_a, to_b)| to_a + to_b);
                match nearest {
                    Some((to_a, to_b)) if to_a < to_b => (first, right),
                    _ => (second, left),
                }
            }
            [Some(backbone), None] if !self.is_before(backbone, b) => (second, backbone),
            [None, Some(backbone)] if !self.is_before(backbone, a) => (first, backbone),
            _ => return Err(Reason::NotResidual),
        };
        if quantized(backbone) { Ok(residual) } else { Err(Reason::NeighbourNotQuantized) }
    }

    /// Whether the branch that ends in `end` begins at or behind `node`, as where a block adds what its first layer gave.
    fn is_before(&self, node: usize, end: usize) -> bool {
        self.wiring.distances_before(self.graph, end).contains_key(&node)
    }

    /// The convolution that everything up to a node fuses with.
    fn backbone(&self, mut node: usize) -> Option<usize> {
        for _ in 0..self.graph.node.len() {
            let here = &self.graph.node[node];
            if matches!(op(here), "Conv" | "ConvTranspose") {
                return Some(node);
            }
            if !FUSED.contains(&op(here)) {
                return None;
            }
            let [(_, Some(before))] = self.wiring.variable_inputs(here)[..] else { return None };
            node = before;
        }
        None
    }
}
