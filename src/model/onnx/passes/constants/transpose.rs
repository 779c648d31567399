//! A Transpose of a constant.

use super::{dims::normal, operands::Operands};
use crate::model::onnx::{ints_attribute, proto::TensorProto};

/// The elements in the order of the new axes; without `perm` the axes are reversed.
pub(super) fn transpose(operands: &Operands<'_>) -> Option<TensorProto> {
    let floats = operands.floats()?;
    let rank = floats.dims.len();
    let perm = match ints_attribute(operands.node(), "perm") {
        Some(perm) => permutation(perm, rank)?,
        None => (0..rank).rev().collect(),
    };
    let moved = match floats.format.size() {
        4 => moved::<4>(&floats.bytes, &floats.dims, &perm)?,
        _ => moved::<2>(&floats.bytes, &floats.dims, &perm)?,
    };
    let dims: Option<Vec<usize>> = perm.iter().map(|&axis| floats.dims.get(axis).copied()).collect();
    Some(floats.with(dims?, moved))
}

fn permutation(perm: &[i64], rank: usize) -> Option<Vec<usize>> {
    let perm = normal(perm, rank)?;
    let all = perm.len() == rank && (0..rank).all(|axis| perm.contains(&axis));
    all.then_some(perm)
}

/// One axis of the result: how far it is counted, and how far apart its neighbours lie in the source.
struct Axis {
    size: usize,
    step: usize,
    index: usize,
}

fn moved<const SIZE: usize>(bytes: &[u8], dims: &[usize], perm: &[usize]) -> Option<Vec<u8>> {
    let elements = bytes.as_chunks::<SIZE>().0;
    let stride = |axis: usize| dims.iter().skip(axis + 1).fold(1, |product: usize, &dim| product.saturating_mul(dim));
    let axis = |&axis: &usize| Some(Axis { size: *dims.get(axis)?, step: stride(axis), index: 0 });
    let mut axes = perm.iter().map(axis).collect::<Option<Vec<_>>>()?;
    let (mut at, mut moved) = (0, Vec::with_capacity(bytes.len()));
    for _ in elements {
        moved.extend_from_slice(elements.get(at)?);
        // Like a counter whose last digit is the last axis.
        for axis in axes.iter_mut().rev() {
            axis.index += 1;
            at += axis.step;
            if axis.index < axis.size {
                break;
            }
            at -= axis.step * axis.size;
            axis.index = 0;
        }
    }
    Some(moved)
}

#[cfg(test)]
mod tests {
    use super::{super::operands::folded, *};
    use crate::model::onnx::testing::{GraphBuilder, floats};

    #[test]
    fn transposing_moves_every_element() {
        let bytes: Vec<u8> = (0..24u16).flat_map(u16::to_le_bytes).collect();
        let moved = moved::<2>(&bytes, &[2, 3, 4], &[2, 0, 1]).unwrap();
        let at = |i: usize, j: usize, k: usize| u16::from_le_bytes([moved[2 * (i * 6 + j * 3 + k)], 0]);
        for (i, j, k) in [(0, 0, 0), (3, 1, 2), (2, 0, 1), (1, 1, 0)] {
            assert_eq!(usize::from(at(i, j, k)), j * 12 + k * 4 + i);
        }
    }

    #[test]
    fn without_an_order_the_axes_are_reversed() {
        let builder = GraphBuilder::new().weight("w", &[2, 3]).node("Transpose", &["w"], &["y"]);
        let expected = TensorProto { name: None, ..floats("", &[3, 2], &[0.0, 3.0, 1.0, 4.0, 2.0, 5.0]) };
        assert_eq!(folded(builder, transpose), Some(expected));
    }

    #[test]
    fn an_order_that_is_none_is_left_to_the_engine() {
        for perm in [&[1, 1][..], &[0], &[0, 2]] {
            let builder = GraphBuilder::new().weight("w", &[2, 3]).node("Transpose", &["w"], &["y"]);
            assert_eq!(folded(builder.int_list("perm", perm), transpose), None, "{perm:?}");
        }
        assert_eq!(permutation(&[-1, 0], 2), Some(vec![1, 0]));
    }
}
