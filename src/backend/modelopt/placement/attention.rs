//! Products of two tensors that are both computed, as in an attention.
//!
//! TensorRT fuses `Softmax(Q·Kᵀ)·V` in int8 up to a number of positions, and not where a mask that is computed is added in
//! between.

use super::{Place, wiring::op};
use crate::{numeric::DType, spec::Reason};

/// Operators that may stand between the first product and the Softmax.
const BETWEEN: [&str; 9] = ["Add", "Cast", "Div", "Flatten", "Mul", "Reshape", "Transpose", "Unsqueeze", "Where"];
/// The most positions that TensorRT fuses in int8.
const LONGEST: i64 = 512;

impl Place<'_> {
    /// Both inputs of a product, unless it is part of an attention that is not fused.
    pub(super) fn product_inputs(&self, layer: usize) -> Result<Vec<usize>, Reason> {
        let node = self.nodes[layer];
        if self.graph.node[node].input.len() != 2 {
            return Err(Reason::ShapeUnsupported);
        }
        let scores = self.scores_of(node);
        if let Some(masked) = scores {
            if masked {
                return Err(Reason::AttentionMasked);
            }
            let int8 = self.resolved.plan.layers[layer].activations == Some(DType::Int8);
            let positions =
                self.graph.node[node].input.iter().filter_map(|tensor| self.wiring.last_dimension(tensor)).max();
            if int8 && positions.is_some_and(|positions| positions > LONGEST) {
                return Err(Reason::AttentionTooLong);
            }
        }
        Ok(vec![0, 1])
    }

    /// Whether a mask that is computed is added to the scores of the attention that a product belongs to; `None` if it
    /// belongs to none.
    fn scores_of(&self, node: usize) -> Option<bool> {
        self.forwards(node).or_else(|| self.backwards(node))
    }

    /// From the first product to the Softmax.
    fn forwards(&self, mut node: usize) -> Option<bool> {
        let mut masked = false;
        for _ in 0..self.graph.node.len() {
            node = self.wiring.consumers(self.graph, node).next()?;
            let here = &self.graph.node[node];
            match op(here) {
                "Softmax" => return Some(masked),
                "Add" | "Where" => masked |= self.wiring.variable_inputs(here).len() > 1,
                other if BETWEEN.contains(&other) => {}
                _ => return None,
            }
        }
        None
    }

    /// From the second product back to the first.
    fn backwards(&self, node: usize) -> Option<bool> {
        let softmax = self.wiring.producer_through_copies(self.graph, &self.graph.node[node].input[0])?;
        if op(&self.graph.node[softmax]) != "Softmax" {
            return None;
        }
        let mut masked = false;
        let mut here = softmax;
        for _ in 0..self.graph.node.len() {
            let inputs = self.wiring.variable_inputs(&self.graph.node[here]);
            masked |= matches!(op(&self.graph.node[here]), "Add" | "Where") && inputs.len() > 1;
            here = inputs.iter().find_map(|(_, producer)| *producer)?;
            if op(&self.graph.node[here]) == "MatMul" {
                return Some(masked);
            }
            if !BETWEEN.contains(&op(&self.graph.node[here])) {
                return None;
            }
        }
        None
    }
}
