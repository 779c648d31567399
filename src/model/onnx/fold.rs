//! Folding what a graph does to its constants, so that a weight is an initializer right at the node that computes with it.
//!
//! Exporters leave a Transpose, a Reshape or a Cast between a weight and its consumer, or keep weights in `Constant`
//! nodes. Only data movement is folded, and casts to a wider float: nothing that rounds.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Bytes, Graph, NodeId,
    constants::{data, integers},
    int_attribute,
    node::{ints_attribute, node_name},
    op::ResultType,
    proto::{AttributeProto, NodeProto, TensorProto, data_type},
    prune::prune,
};
use crate::{numeric::FloatFormat, tensor::Shape};

/// Replaces `Constant` nodes of the main graph by initializers, then folds nodes that move constants about. The names of
/// the nodes folded.
pub fn fold_constants(graph: &mut Graph) -> Vec<String> {
    lift_constants(graph);
    let mut types = graph.declared_types();
    let (mut folded, mut orphans) = (BTreeSet::new(), Vec::new());
    for id in graph.nodes().collect::<Vec<_>>() {
        let Some(output) = graph.output(id, 0).map(|output| graph.name(output).to_owned()) else { continue };
        if let Some(tensor) = fold(graph, id, &types) {
            graph.add_initializer(TensorProto { name: Some(output), ..tensor });
            orphans.extend(graph.inputs_of(id).map(|(_, tensor)| tensor));
            folded.insert(id);
        } else if let ResultType::Like(input) = graph.facts(id).result {
            let input = graph.input(id, input).and_then(|input| types.get(graph.name(input)).copied());
            types.extend(input.map(|element| (output, element)));
        }
    }
    let names = folded.iter().map(|id| node_name(graph.node(*id))).collect();
    graph.remove(&folded);
    prune(graph, orphans);
    names
}

fn lift_constants(graph: &mut Graph) {
    let mut lifted = BTreeSet::new();
    for id in graph.nodes().filter(|id| graph.op(*id) == Some("Constant")).collect::<Vec<_>>() {
        let value = graph.node(id).attribute.first().and_then(value);
        let output = graph.output(id, 0).map(|output| graph.name(output).to_owned());
        if let (Some(tensor), Some(name)) = (value, output) {
            graph.add_initializer(TensorProto { name: Some(name), ..tensor });
            lifted.insert(id);
        }
    }
    graph.remove(&lifted);
}

/// The tensor that an attribute of a `Constant` node stands for.
fn value(attribute: &AttributeProto) -> Option<TensorProto> {
    let floats = |dims: Vec<i64>, floats: &[f32]| TensorProto {
        dims,
        data_type: Some(data_type::FLOAT),
        raw_data: Some(Bytes::from(floats.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>())),
        ..Default::default()
    };
    let ints = |dims: Vec<i64>, ints: &[i64]| TensorProto {
        dims,
        data_type: Some(data_type::INT64),
        int64_data: ints.to_vec(),
        ..Default::default()
    };
    match attribute.name.as_deref()? {
        "value" => attribute.t.as_option().cloned(),
        "value_float" => Some(floats(vec![], &[attribute.f?])),
        "value_floats" => Some(floats(vec![attribute.floats.len() as i64], &attribute.floats)),
        "value_int" => Some(ints(vec![], &[attribute.i?])),
        "value_ints" => Some(ints(vec![attribute.ints.len() as i64], &attribute.ints)),
        _ => None,
    }
}

/// The tensor that a node gives for constant inputs, if it is one of those folded. Only for floats, and the shapes of
/// constants.
fn fold(graph: &Graph, id: NodeId, types: &BTreeMap<String, i32>) -> Option<TensorProto> {
    let (node, op_type) = (graph.node(id), graph.op(id)?);
    if node.output.len() != 1 {
        return None;
    }
    let known = |at: usize| graph.initializer(graph.input(id, at)?);
    let tensor = known(0)?;
    if op_type == "Shape" {
        return Some(shape_of(node, &tensor.dims));
    }
    if let ("Expand", Some(data_type::INT64), Some(values)) = (op_type, tensor.data_type, integers(tensor)) {
        return expanded_shape(tensor, &values, &integers(known(1)?)?);
    }
    let format = FloatFormat::from_onnx(tensor.data_type?)?;
    let shape = Shape::from_signed(&tensor.dims).ok()?;
    let bytes = data(tensor, format);
    if shape.bytes(8 * format.size()) != Some(bytes.len()) {
        return None;
    }
    let with = |dims: Vec<usize>, bytes: Option<Vec<u8>>| TensorProto {
        dims: dims.iter().map(|&d| d as i64).collect(),
        data_type: tensor.data_type,
        raw_data: bytes
            .map(Bytes::from)
            .or_else(|| tensor.raw_data.clone())
            .or_else(|| Some(Bytes::from(data(tensor, format).into_owned()))),
        ..Default::default()
    };
    let second = || integers(known(1)?);
    let axes = || ints_attribute(node, "axes").map(<[i64]>::to_vec).or_else(second);
    let dims = shape.dims();
    match op_type {
        "Identity" => Some(with(dims.to_vec(), None)),
        "Transpose" => {
            let perm = ints_attribute(node, "perm").map(<[i64]>::to_vec);
            let perm = perm.unwrap_or_else(|| (0..dims.len() as i64).rev().collect());
            let perm = permutation(&perm, dims.len())?;
            let moved = match format.size() {
                4 => transpose::<4>(&bytes, dims, &perm),
                _ => transpose::<2>(&bytes, dims, &perm),
            };
            Some(with(perm.iter().map(|&axis| dims[axis]).collect(), Some(moved)))
        }
        "Reshape" if int_attribute(node, "allowzero").unwrap_or(0) == 0 => {
            Some(with(reshaped(dims, &second()?)?, None))
        }
        "Flatten" => {
            let axis = int_attribute(node, "axis").unwrap_or(1);
            let axis = usize::try_from(if axis < 0 { axis + dims.len() as i64 } else { axis }).ok()?;
            let (outer, inner) = (dims.get(..axis)?, dims.get(axis..)?);
            Some(with(vec![outer.iter().product(), inner.iter().product()], None))
        }
        "Unsqueeze" => {
            let axes = axes()?;
            let rank = dims.len() + axes.len();
            let axes = normal(&axes, rank)?;
            let mut rest = dims.iter();
            let dims: Option<Vec<usize>> =
                (0..rank).map(|axis| if axes.contains(&axis) { Some(1) } else { rest.next().copied() }).collect();
            Some(with(dims?, None))
        }
        "Squeeze" => {
            let axes = match axes() {
                Some(axes) => normal(&axes, dims.len())?,
                None if node.input.len() < 2 => (0..dims.len()).filter(|&axis| dims[axis] == 1).collect(),
                None => return None,
            };
            axes.iter().all(|&axis| dims[axis] == 1).then_some(())?;
            let kept = dims.iter().enumerate().filter(|(axis, _)| !axes.contains(axis)).map(|(_, &d)| d);
            Some(with(kept.collect(), None))
        }
        "Expand" => {
            let (bytes, dims) = expanded(&bytes, format.size(), dims, &second()?)?;
            Some(with(dims, Some(bytes)))
        }
        "CastLike" => {
            let like = known(1).and_then(|tensor| tensor.data_type);
            let wanted = like.or_else(|| types.get(graph.name(graph.input(id, 1)?)).copied());
            (wanted == tensor.data_type).then(|| with(dims.to_vec(), None))
        }
        "Cast" if format != FloatFormat::F32 && int_attribute(node, "to") == Some(i64::from(data_type::FLOAT)) => {
            let wide = format.decode(&bytes).into_iter().flat_map(f32::to_le_bytes).collect();
            Some(TensorProto { data_type: Some(data_type::FLOAT), ..with(dims.to_vec(), Some(wide)) })
        }
        _ => None,
    }
}

/// Integers repeated, as exporters do with shapes.
fn expanded_shape(tensor: &TensorProto, values: &[i64], wanted: &[i64]) -> Option<TensorProto> {
    let shape = Shape::from_signed(&tensor.dims).ok().filter(|shape| shape.elements() == values.len())?;
    let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    let (bytes, dims) = expanded(&bytes, 8, shape.dims(), wanted)?;
    let int64_data = bytes.as_chunks::<8>().0.iter().map(|x| i64::from_le_bytes(*x)).collect();
    let dims = dims.into_iter().map(|d| d as i64).collect();
    Some(TensorProto { dims, data_type: Some(data_type::INT64), int64_data, ..Default::default() })
}

/// The dimensions that a `Shape` asks for. Exporters compute the shape of a missing bias from that of the weight, which would
/// keep the float weight in the file for its dimensions alone.
fn shape_of(node: &NodeProto, dims: &[i64]) -> TensorProto {
    // ONNX counts a negative axis from the end and clamps both to the rank.
    let rank = dims.len() as i64;
    let axis = |at: i64| (if at < 0 { at.saturating_add(rank) } else { at }).clamp(0, rank) as usize;
    let (start, end) = (int_attribute(node, "start").unwrap_or(0), int_attribute(node, "end").unwrap_or(rank));
    let asked = dims.get(axis(start)..axis(end)).unwrap_or_default().to_vec();
    TensorProto {
        dims: vec![asked.len() as i64],
        data_type: Some(data_type::INT64),
        int64_data: asked,
        ..Default::default()
    }
}

/// A tensor repeated along the axes where it has one element, as numpy broadcasts. Biases are so small; nothing large is
/// made of what the file does not hold.
fn expanded(bytes: &[u8], size: usize, dims: &[usize], wanted: &[i64]) -> Option<(Vec<u8>, Vec<usize>)> {
    const LARGEST: usize = 1 << 20;
    let rank = dims.len().max(wanted.len());
    let padded = |at: usize| (at + dims.len()).checked_sub(rank).map_or(1, |at| dims[at]);
    let asked = |at: usize| match (at + wanted.len()).checked_sub(rank) {
        Some(at) => usize::try_from(wanted[at]).ok(),
        None => Some(1),
    };
    let mut shape = Vec::new();
    for at in 0..rank {
        shape.push(match (padded(at), asked(at)?) {
            (1, asked) => asked,
            (own, asked) if asked == own || asked == 1 => own,
            _ => return None,
        });
    }
    let elements = shape.iter().try_fold(1usize, |product, &dim| product.checked_mul(dim)).filter(|&n| n <= LARGEST)?;
    let mut out = Vec::with_capacity(elements * size);
    for number in 0..elements {
        let (mut rest, mut at, mut stride) = (number, 0, 1);
        for axis in (0..rank).rev() {
            let index = rest % shape[axis];
            rest /= shape[axis];
            at += if padded(axis) == 1 { 0 } else { index * stride };
            stride *= padded(axis);
        }
        out.extend_from_slice(bytes.get(at * size..(at + 1) * size)?);
    }
    Some((out, shape))
}

fn normal(axes: &[i64], rank: usize) -> Option<Vec<usize>> {
    let normal = |&axis: &i64| usize::try_from(if axis < 0 { axis + rank as i64 } else { axis }).ok();
    axes.iter().map(|axis| normal(axis).filter(|&axis| axis < rank)).collect()
}

fn permutation(perm: &[i64], rank: usize) -> Option<Vec<usize>> {
    let perm = normal(perm, rank)?;
    let all = perm.len() == rank && (0..rank).all(|axis| perm.contains(&axis));
    all.then_some(perm)
}

fn reshaped(dims: &[usize], wanted: &[i64]) -> Option<Vec<usize>> {
    let elements: usize = dims.iter().product();
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

fn transpose<const SIZE: usize>(bytes: &[u8], dims: &[usize], perm: &[usize]) -> Vec<u8> {
    let elements = bytes.as_chunks::<SIZE>().0;
    let mut strides = vec![1; dims.len()];
    for axis in (0..dims.len().saturating_sub(1)).rev() {
        strides[axis] = strides[axis + 1] * dims[axis + 1];
    }
    let (sizes, steps): (Vec<usize>, Vec<usize>) = perm.iter().map(|&axis| (dims[axis], strides[axis])).unzip();
    let mut index = vec![0; dims.len()];
    let mut at = 0;
    let mut moved = Vec::with_capacity(bytes.len());
    for _ in 0..elements.len() {
        moved.extend_from_slice(&elements[at]);
        for axis in (0..sizes.len()).rev() {
            index[axis] += 1;
            at += steps[axis];
            if index[axis] < sizes[axis] {
                break;
            }
            at -= steps[axis] * sizes[axis];
            index[axis] = 0;
        }
    }
    moved
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposing_moves_every_element() {
        let bytes: Vec<u8> = (0..24u16).flat_map(u16::to_le_bytes).collect();
        let moved = transpose::<2>(&bytes, &[2, 3, 4], &[2, 0, 1]);
        let at = |i: usize, j: usize, k: usize| u16::from_le_bytes([moved[2 * (i * 6 + j * 3 + k)], 0]);
        for (i, j, k) in [(0, 0, 0), (3, 1, 2), (2, 0, 1), (1, 1, 0)] {
            assert_eq!(usize::from(at(i, j, k)), j * 12 + k * 4 + i);
        }
    }

    #[test]
    fn expanding_repeats_as_numpy_does() {
        assert_eq!(expanded(&[1, 2], 1, &[2, 1], &[2, 3]), Some((vec![1, 1, 1, 2, 2, 2], vec![2, 3])));
        assert_eq!(expanded(&[7], 1, &[], &[4]), Some((vec![7; 4], vec![4])));
        assert_eq!(expanded(&[1, 2], 1, &[2], &[2, 1]), Some((vec![1, 2, 1, 2], vec![2, 2])));
        assert_eq!(expanded(&[1, 2], 1, &[2], &[3]), None);
        assert_eq!(expanded(&[1], 1, &[1], &[i64::MAX, 2]), None);
        assert_eq!(expanded(&[1], 1, &[1], &[-1]), None);
    }

    #[test]
    fn shapes_are_checked() {
        assert_eq!(reshaped(&[2, 3, 4], &[0, -1]), Some(vec![2, 12]));
        assert_eq!(reshaped(&[2, 3, 4], &[5, -1]), None);
        assert_eq!(reshaped(&[2, 3], &[-1, -1]), None);
        assert_eq!(reshaped(&[2, 3], &[i64::MAX, 2]), None);
        assert_eq!(permutation(&[1, 1], 2), None);
        assert_eq!(permutation(&[-1, 0], 2), Some(vec![1, 0]));
    }
}
