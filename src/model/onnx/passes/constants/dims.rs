//! Dimensions: Shape, Squeeze and Unsqueeze, and what all folds count axes with.

use super::operands::Operands;
use crate::model::onnx::{
    int_attribute,
    node::axis_from_front,
    proto::{TensorProto, data_type},
};

/// The dimensions that a Shape asks for. Exporters compute the shape of a missing bias from that of the weight, which would
/// keep the float weight in the file for its dimensions alone.
pub(super) fn shape(operands: &Operands<'_>) -> Option<TensorProto> {
    let dims = &operands.constant(0)?.dims;
    // ONNX counts a negative axis from the end and clamps both to the rank.
    let rank = dims.len() as i64;
    let axis = |at: i64| (if at < 0 { at.saturating_add(rank) } else { at }).clamp(0, rank) as usize;
    let bound = |name: &str| int_attribute(operands.node(), name);
    let (start, end) = (bound("start").unwrap_or(0), bound("end").unwrap_or(rank));
    let asked = dims.get(axis(start)..axis(end)).unwrap_or_default().to_vec();
    Some(TensorProto {
        dims: vec![asked.len() as i64],
        data_type: Some(data_type::INT64),
        int64_data: asked,
        ..Default::default()
    })
}

/// Without axes of one element: all of them, or those that are named.
pub(super) fn squeeze(operands: &Operands<'_>) -> Option<TensorProto> {
    let floats = operands.floats()?;
    let single = |axis: &usize| floats.dims.get(*axis) == Some(&1);
    let axes = match operands.axes() {
        Some(axes) => normal(&axes, floats.dims.len())?,
        None if operands.node().input.len() < 2 => (0..floats.dims.len()).filter(single).collect(),
        None => return None,
    };
    let left = floats.dims.iter().enumerate().filter(|(axis, _)| !axes.contains(axis)).map(|(_, &dim)| dim);
    axes.iter().all(single).then(|| floats.in_dims(left))
}

/// With axes of one element, counted in the result.
pub(super) fn unsqueeze(operands: &Operands<'_>) -> Option<TensorProto> {
    let floats = operands.floats()?;
    let axes = operands.axes()?;
    let rank = floats.dims.len() + axes.len();
    let axes = normal(&axes, rank)?;
    let mut rest = floats.dims.iter();
    let dims: Option<Vec<usize>> =
        (0..rank).map(|axis| if axes.contains(&axis) { Some(1) } else { rest.next().copied() }).collect();
    Some(floats.in_dims(dims?))
}

/// Axes counted from the front; `None` where one is beyond the rank.
pub(super) fn normal(axes: &[i64], rank: usize) -> Option<Vec<usize>> {
    axes.iter().map(|&axis| axis_from_front(axis, rank).filter(|&axis| axis < rank)).collect()
}

/// The elements of these dimensions, if they can be counted.
pub(super) fn product(dims: &[usize]) -> Option<usize> {
    dims.iter().try_fold(1usize, |product, &dim| product.checked_mul(dim))
}

#[cfg(test)]
mod tests {
    use super::{super::operands::folded, *};
    use crate::model::onnx::testing::GraphBuilder;

    #[test]
    fn the_shape_of_a_constant_is_one_between_two_bounds() {
        let between = |bounds: &[(&str, i64)]| {
            let node = GraphBuilder::new().weight("w", &[2, 3, 4]).node("Shape", &["w"], &["y"]);
            folded(bounds.iter().fold(node, |node, (name, at)| node.int(name, *at)), shape).unwrap().int64_data
        };
        assert_eq!(between(&[]), [2, 3, 4]);
        assert_eq!(between(&[("start", 1)]), [3, 4]);
        assert_eq!(between(&[("start", -2), ("end", -1)]), [3]);
        assert_eq!(between(&[("end", 99)]), [2, 3, 4]);
        assert!(between(&[("start", 2), ("end", 1)]).is_empty());
    }

    #[test]
    fn axes_of_one_element_go() {
        let w = || GraphBuilder::new().weight("w", &[1, 3, 1]);
        let dims = |builder| folded(builder, squeeze).map(|tensor| tensor.dims);
        assert_eq!(dims(w().node("Squeeze", &["w"], &["y"])), Some(vec![3]));
        assert_eq!(dims(w().node("Squeeze", &["w"], &["y"]).int_list("axes", &[-1])), Some(vec![1, 3]));
        assert_eq!(dims(w().ints("a", &[0]).node("Squeeze", &["w", "a"], &["y"])), Some(vec![3, 1]));
        assert_eq!(dims(w().node("Squeeze", &["w"], &["y"]).int_list("axes", &[1])), None);
        assert_eq!(dims(w().input("a", &[1]).node("Squeeze", &["w", "a"], &["y"])), None);
    }

    #[test]
    fn axes_of_one_element_come() {
        let w = || GraphBuilder::new().weight("w", &[2, 3]);
        let dims = |builder| folded(builder, unsqueeze).map(|tensor| tensor.dims);
        assert_eq!(dims(w().node("Unsqueeze", &["w"], &["y"]).int_list("axes", &[0, -1])), Some(vec![1, 2, 3, 1]));
        assert_eq!(dims(w().ints("a", &[1]).node("Unsqueeze", &["w", "a"], &["y"])), Some(vec![2, 1, 3]));
        assert_eq!(dims(w().ints("a", &[3]).node("Unsqueeze", &["w", "a"], &["y"])), None);
        assert_eq!(dims(w().ints("a", &[1, 1]).node("Unsqueeze", &["w", "a"], &["y"])), None);
    }
}
