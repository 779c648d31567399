//! Constants of a graph: initializers, and `Constant` nodes, also behind the `Transpose` that exporters leave.

use std::{borrow::Cow, ops::Range};

use super::{
    Bytes, Graph, OnnxError, TensorId,
    node::{attribute, ints_attribute},
    proto::{AttributeProto, TensorProto, data_type},
};
use crate::{
    numeric::FloatFormat,
    tensor::{Channels, Shape, TensorView},
};

/// A constant float tensor.
#[derive(Clone, Debug)]
pub struct Constant<'a> {
    /// The name of the initializer, or of the `Constant` node's output.
    pub source: String,
    /// Whether the graph transposes it (rank 2); `bytes` and `shape` are those after.
    pub transposed: bool,
    /// The format of its elements, little endian.
    pub format: FloatFormat,
    /// Its shape, after any transposition.
    pub shape: Shape,
    bytes: Cow<'a, [u8]>,
}

impl Constant<'_> {
    /// The elements with their shape; `None` if the bytes do not fit it.
    pub fn view(&self) -> Option<TensorView<'_>> {
        TensorView::new(self.format, &self.shape, &self.bytes)
    }

    /// The elements as f32, in row-major order.
    pub fn values(&self) -> Vec<f32> {
        self.format.decode(&self.bytes)
    }

    /// Some of the tensor's bytes.
    pub fn read(&self, range: Range<usize>) -> Cow<'_, [u8]> {
        Cow::Borrowed(self.bytes.get(range).unwrap_or_default())
    }

    /// Some of the bytes that a matrix would have with its axes swapped; none of a tensor of another rank.
    pub fn read_swapped(&self, range: Range<usize>) -> Cow<'_, [u8]> {
        let [rows, columns] = *self.shape.dims() else { return Cow::Borrowed(&[]) };
        let size = self.format.size();
        let (first, last) = (range.start / size, range.end / size);
        let mut swapped = vec![0; range.len()];
        for row in 0..rows {
            // Element `column × rows + row` of the swapped matrix is this row's at `column`.
            let [from, to] = [first, last].map(|element| element.saturating_sub(row).div_ceil(rows).min(columns));
            let run = self.bytes.get((row * columns + from) * size..(row * columns + to) * size).unwrap_or_default();
            for (column, element) in (from..).zip(run.chunks_exact(size)) {
                let at = (column * rows + row - first) * size;
                if let Some(place) = swapped.get_mut(at..at + size) {
                    place.copy_from_slice(element);
                }
            }
        }
        Cow::Owned(swapped)
    }
}

/// The float constant that a tensor of the graph is, if it is one.
pub fn constant(graph: &Graph, tensor: TensorId) -> Result<Option<Constant<'_>>, OnnxError> {
    let Some((source, proto, transposed)) = find(graph, tensor) else { return Ok(None) };
    let Some(format) = proto.data_type.and_then(FloatFormat::from_onnx) else { return Ok(None) };
    let shape = Shape::from_signed(&proto.dims)
        .map_err(|error| OnnxError::Shape { tensor: source.to_owned(), source: error })?;
    let bytes = data(proto, format);
    let expected = shape.bytes(8 * format.size()).unwrap_or(usize::MAX);
    if bytes.len() != expected {
        return Err(OnnxError::Length { tensor: source.to_owned(), found: bytes.len(), expected });
    }
    let source = source.to_owned();
    if !transposed {
        return Ok(Some(Constant { source, transposed, format, shape, bytes }));
    }
    let [rows, columns] = *shape.dims() else { return Ok(None) };
    let across = Channels { outer: rows, channels: columns, inner: 1 };
    let moved = match format {
        FloatFormat::F32 => transpose::<4>(&across, &bytes),
        FloatFormat::F16 | FloatFormat::Bf16 => transpose::<2>(&across, &bytes),
    };
    let shape =
        Shape::new(vec![columns, rows]).map_err(|error| OnnxError::Shape { tensor: source.clone(), source: error })?;
    Ok(Some(Constant { source, transposed, format, shape, bytes: Cow::Owned(moved) }))
}

/// The value of the float constant of one element that a tensor of the graph is, if it is one.
pub fn scalar(graph: &Graph, tensor: TensorId) -> Option<f32> {
    let constant = constant(graph, tensor).ok()??;
    let one = constant.shape.elements() == 1;
    constant.format.decode(&constant.read(0..constant.format.size())).first().copied().filter(|_| one)
}

/// The element type of the constant that a tensor of the graph is, float or not.
pub fn constant_type(graph: &Graph, tensor: TensorId) -> Option<i32> {
    find(graph, tensor)?.1.data_type
}

fn transpose<const SIZE: usize>(across: &Channels, bytes: &[u8]) -> Vec<u8> {
    let mut moved = Vec::new();
    across.to_front(bytes.as_chunks::<SIZE>().0, &mut moved);
    moved.into_flattened()
}

/// The tensor message behind a name, its own name, and whether a `Transpose` of rank 2 stands between.
fn find(graph: &Graph, tensor: TensorId) -> Option<(&str, &TensorProto, bool)> {
    if let Some(proto) = graph.initializer(tensor) {
        return Some((graph.name(tensor), proto, false));
    }
    let id = graph.producer(tensor)?;
    let node = graph.node(id);
    match graph.op(id)? {
        "Constant" => Some((graph.name(graph.output(id, 0)?), attribute(node, "value")?.t.as_option()?, false)),
        "Transpose" => {
            // One step only: a second Transpose would undo the first, and no exporter writes that.
            let swaps = ints_attribute(node, "perm").is_none_or(|perm| perm == [1, 0]);
            let input = graph.input(id, 0)?;
            let proto = graph.initializer(input)?;
            (swaps && proto.dims.len() == 2).then(|| (graph.name(input), proto, true))
        }
        _ => None,
    }
}

/// The tensor that an attribute of a `Constant` node stands for; `None` for a sparse one and for text.
pub fn constant_value(attribute: &AttributeProto) -> Option<TensorProto> {
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

/// The little-endian bytes of a float tensor, from whichever field holds them.
pub(super) fn data(proto: &TensorProto, format: FloatFormat) -> Cow<'_, [u8]> {
    if let Some(raw) = &proto.raw_data {
        return Cow::Borrowed(raw);
    }
    match format {
        FloatFormat::F32 => proto.float_data.iter().flat_map(|x| x.to_le_bytes()).collect(),
        // ONNX stores 16-bit patterns one to an int32.
        FloatFormat::F16 | FloatFormat::Bf16 => {
            proto.int32_data.iter().flat_map(|&x| (x as u16).to_le_bytes()).collect()
        }
    }
}

/// The values of a tensor of 64-bit or 32-bit integers.
pub(super) fn integers(proto: &TensorProto) -> Option<Vec<i64>> {
    match (proto.data_type?, &proto.raw_data) {
        (data_type::INT64, Some(raw)) => Some(raw.as_chunks::<8>().0.iter().map(|x| i64::from_le_bytes(*x)).collect()),
        (data_type::INT64, None) => Some(proto.int64_data.clone()),
        (data_type::INT32, Some(raw)) => {
            Some(raw.as_chunks::<4>().0.iter().map(|x| i64::from(i32::from_le_bytes(*x))).collect())
        }
        (data_type::INT32, None) => Some(proto.int32_data.iter().map(|&x| i64::from(x)).collect()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::onnx::testing::GraphBuilder;

    #[test]
    fn any_part_of_a_matrix_is_read_with_its_axes_swapped() {
        let graph = GraphBuilder::new().weight("w", &[3, 2]).weight("v", &[6]).build();
        let of = |name: &str| constant(&graph, graph.tensor(name).unwrap()).unwrap().unwrap();
        let swapped: Vec<u8> = [0f32, 2., 4., 1., 3., 5.].iter().flat_map(|x| x.to_le_bytes()).collect();
        for first in 0..=6 {
            for last in first..=6 {
                let range = 4 * first..4 * last;
                assert_eq!(*of("w").read_swapped(range.clone()), swapped[range], "{first}..{last}");
            }
        }
        assert!(of("v").read_swapped(0..24).is_empty(), "a vector has no two axes");
    }
}
