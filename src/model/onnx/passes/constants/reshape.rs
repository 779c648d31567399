//! The same elements in other dimensions: Identity, Reshape and Flatten.

use super::{dims::product, operands::Operands};
use crate::model::onnx::{int_attribute, node::axis_from_front, proto::TensorProto};

/// The constant under another name.
pub(super) fn identity(operands: &Operands<'_>) -> Option<TensorProto> {
    let floats = operands.floats()?;
    Some(floats.in_dims(floats.dims.iter().copied()))
}

/// 0 keeps a dimension, −1 is what is left; with `allowzero` a 0 would be a size, and is left to the engine.
pub(super) fn reshape(operands: &Operands<'_>) -> Option<TensorProto> {
    let floats = operands.floats()?;
    let plain = int_attribute(operands.node(), "allowzero").unwrap_or(0) == 0;
    let wanted = operands.integers(1).filter(|_| plain)?;
    Some(floats.in_dims(reshaped(&floats.dims, &wanted)?))
}

/// The dimensions before an axis as one, and those from it on.
pub(super) fn flatten(operands: &Operands<'_>) -> Option<TensorProto> {
    let floats = operands.floats()?;
    let axis = axis_from_front(int_attribute(operands.node(), "axis").unwrap_or(1), floats.dims.len())?;
    let (outer, inner) = floats.dims.split_at_checked(axis)?;
    Some(floats.in_dims([product(outer)?, product(inner)?]))
}

fn reshaped(dims: &[usize], wanted: &[i64]) -> Option<Vec<usize>> {
    let elements = product(dims)?;
    let mut shape: Vec<Option<usize>> = Vec::new();
    for (axis, &dim) in wanted.iter().enumerate() {
        shape.push(match dim {
            -1 => None,
            0 => Some(*dims.get(axis)?),
            _ => Some(usize::try_from(dim).ok()?),
        });
    }
    let known = shape.iter().flatten().try_fold(1usize, |product, &dim| product.checked_mul(dim))?;
    let open = shape.iter().filter(|dim| dim.is_none()).count();
    let rest = if open == 1 { elements.checked_div(known)? } else { 1 };
    let fits = open <= 1 && known.checked_mul(rest) == Some(elements);
    fits.then(|| shape.into_iter().map(|dim| dim.unwrap_or(rest)).collect())
}

#[cfg(test)]
mod tests {
    use super::{
        super::operands::{Fold, folded},
        *,
    };
    use crate::model::onnx::testing::GraphBuilder;

    /// The dimensions of what a node folds to.
    fn dims(builder: GraphBuilder, fold: Fold) -> Option<Vec<i64>> {
        folded(builder, fold).map(|tensor| tensor.dims)
    }

    #[test]
    fn shapes_are_checked() {
        assert_eq!(reshaped(&[2, 3, 4], &[0, -1]), Some(vec![2, 12]));
        assert_eq!(reshaped(&[2, 3, 4], &[5, -1]), None);
        assert_eq!(reshaped(&[2, 3], &[-1, -1]), None);
        assert_eq!(reshaped(&[2, 3], &[i64::MAX, 2]), None);
        assert_eq!(reshaped(&[0, 3], &[0, -1]), None);
    }

    #[test]
    fn identity_and_reshape_keep_the_elements() {
        let w = || GraphBuilder::new().weight("w", &[2, 6]).ints("s", &[3, -1]);
        assert_eq!(dims(w().node("Identity", &["w"], &["y"]), identity), Some(vec![2, 6]));
        assert_eq!(dims(w().node("Reshape", &["w", "s"], &["y"]), reshape), Some(vec![3, 4]));
        assert_eq!(dims(w().node("Reshape", &["w", "s"], &["y"]).int("allowzero", 1), reshape), None);
        assert_eq!(dims(w().input("t", &[2]).node("Reshape", &["w", "t"], &["y"]), reshape), None);
    }

    #[test]
    fn flatten_counts_its_axis_from_either_end() {
        let at = |axis| {
            let node = GraphBuilder::new().weight("w", &[2, 3, 4]).node("Flatten", &["w"], &["y"]);
            dims(node.int("axis", axis), flatten)
        };
        assert_eq!([0, 1, 3, -1].map(at), [[1, 24], [2, 12], [24, 1], [6, 4]].map(|dims| Some(dims.to_vec())));
        assert_eq!([4, -4, i64::MIN].map(at), [const { None }; 3]);
    }

    #[test]
    fn dimensions_whose_product_has_no_end_are_left_alone() {
        let huge = i64::MAX / 2;
        let empty = GraphBuilder::new().floats("w", &[0, huge, huge], &[]);
        assert_eq!(dims(empty.node("Flatten", &["w"], &["y"]), flatten), None);
    }
}
