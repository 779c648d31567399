//! An Expand of a constant: repeated along the axes where it has one element.

use super::{dims::product, operands::Operands};
use crate::{
    model::onnx::{
        constants::integers,
        proto::{TensorProto, data_type},
    },
    tensor::Shape,
};

/// Biases are so small; nothing large is made of what the file does not hold.
const MOST_ELEMENTS: usize = 1 << 20;

/// Floats, or the integers of a shape.
pub(super) fn expand(operands: &Operands<'_>) -> Option<TensorProto> {
    let wanted = operands.integers(1)?;
    if let Some(floats) = operands.floats() {
        let (bytes, dims) = expanded(&floats.bytes, floats.format.size(), &floats.dims, &wanted)?;
        return Some(floats.with(dims, bytes));
    }
    let tensor = operands.constant(0).filter(|tensor| tensor.data_type == Some(data_type::INT64))?;
    let values = integers(tensor)?;
    let shape = Shape::from_signed(&tensor.dims).ok().filter(|shape| shape.elements() == values.len())?;
    let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    let (bytes, dims) = expanded(&bytes, 8, shape.dims(), &wanted)?;
    Some(TensorProto {
        dims: dims.into_iter().map(|dim| dim as i64).collect(),
        data_type: Some(data_type::INT64),
        int64_data: bytes.as_chunks::<8>().0.iter().map(|x| i64::from_le_bytes(*x)).collect(),
        ..Default::default()
    })
}

/// A tensor repeated as numpy broadcasts: elements of `size` bytes, and the dimensions that they have then.
fn expanded(bytes: &[u8], size: usize, dims: &[usize], wanted: &[i64]) -> Option<(Vec<u8>, Vec<usize>)> {
    let rank = dims.len().max(wanted.len());
    let ones = |missing: usize| std::iter::repeat_n(1, missing);
    let own: Vec<usize> = ones(rank - dims.len()).chain(dims.iter().copied()).collect();
    let asked: Vec<usize> = wanted.iter().map(|&dim| usize::try_from(dim).ok()).collect::<Option<_>>()?;
    let asked = ones(rank - asked.len()).chain(asked);
    let both = |(&own, asked): (&usize, usize)| match (own, asked) {
        (1, asked) => Some(asked),
        (own, asked) if asked == own || asked == 1 => Some(own),
        _ => None,
    };
    let shape: Vec<usize> = own.iter().zip(asked).map(both).collect::<Option<_>>()?;
    let elements = product(&shape).filter(|&elements| elements <= MOST_ELEMENTS)?;
    let mut out = Vec::with_capacity(elements * size);
    for number in 0..elements {
        let (mut rest, mut at, mut stride) = (number, 0, 1);
        for (&own, &dim) in own.iter().zip(&shape).rev() {
            at += if own == 1 { 0 } else { rest % dim * stride };
            rest /= dim;
            stride *= own;
        }
        out.extend_from_slice(bytes.get(at * size..(at + 1) * size)?);
    }
    Some((out, shape))
}

#[cfg(test)]
mod tests {
    use super::{super::operands::folded, *};
    use crate::model::onnx::testing::{GraphBuilder, floats};

    #[test]
    fn expanding_repeats_as_numpy_does() {
        assert_eq!(expanded(&[1, 2], 1, &[2, 1], &[2, 3]), Some((vec![1, 1, 1, 2, 2, 2], vec![2, 3])));
        assert_eq!(expanded(&[7], 1, &[], &[4]), Some((vec![7; 4], vec![4])));
        assert_eq!(expanded(&[1, 2], 1, &[2], &[2, 1]), Some((vec![1, 2, 1, 2], vec![2, 2])));
        assert_eq!(expanded(&[1, 2], 1, &[2], &[3]), None);
        assert_eq!(expanded(&[1], 1, &[1], &[i64::MAX, 2]), None);
        assert_eq!(expanded(&[1], 1, &[1], &[-1]), None);
        assert_eq!(expanded(&[], 1, &[0], &[0]), Some((vec![], vec![0])));
    }

    #[test]
    fn floats_and_shapes_are_repeated() {
        let of = |builder: GraphBuilder| folded(builder.node("Expand", &["a", "s"], &["y"]), expand).unwrap();
        let bias = of(GraphBuilder::new().floats("a", &[1], &[2.5]).ints("s", &[3]));
        assert_eq!(bias, TensorProto { name: None, ..floats("", &[3], &[2.5; 3]) });
        assert_eq!(of(GraphBuilder::new().ints("a", &[7]).ints("s", &[2])).int64_data, [7, 7]);
    }

    #[test]
    fn nothing_large_is_made_of_little() {
        let huge = GraphBuilder::new().floats("a", &[1], &[0.0]).ints("s", &[1 << 21]);
        assert_eq!(folded(huge.node("Expand", &["a", "s"], &["y"]), expand), None);
    }
}
