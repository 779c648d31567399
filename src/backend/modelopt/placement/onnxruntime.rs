//! What onnxruntime fuses into integer kernels on a CPU: layers with weights, and products of two activations.

use super::{row::Placement, rules::product};

/// The row of this placement. Its integer kernels add pairs of 8-bit products in 16 bits on x86 CPUs without VNNI, so
/// weights use 7 bits.
pub(super) static ONNXRUNTIME: Placement = Placement {
    name: "onnxruntime",
    without_weights: &[("MatMul", product::inputs)],
    excluded: None,
    joined: None,
    reduce_range: true,
};

#[cfg(test)]
mod tests {
    use super::super::testing::{attention, placed};

    /// The rules about attention are what TensorRT fuses, and nothing that holds here.
    #[test]
    fn products_of_an_attention_with_a_mask_or_many_positions_get_pairs_all_the_same() {
        for positions in [64, 513] {
            let found = placed("onnxruntime", attention(positions, true), "int8");
            assert_eq!(found.sites, ["scores.0", "scores.1", "context.0", "context.1"]);
            assert_eq!(found.reasons, [], "{positions} positions");
        }
    }
}
