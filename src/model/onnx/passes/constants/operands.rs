//! [`Operands`]: the inputs of a node, as far as they are constant.

use std::{borrow::Cow, collections::BTreeMap};

use crate::{
    model::onnx::{
        Bytes, Graph, NodeId,
        constants::{data, integers},
        ints_attribute,
        proto::{NodeProto, TensorProto},
    },
    numeric::FloatFormat,
    tensor::Shape,
};

/// The tensor that a node gives for constant inputs; `None` where it is not folded.
pub(super) type Fold = fn(&Operands<'_>) -> Option<TensorProto>;

/// A node that may be folded.
pub(super) struct Operands<'g> {
    graph: &'g Graph,
    id: NodeId,
    /// Element types known so far, by tensor.
    types: &'g BTreeMap<String, i32>,
}

/// A constant of floats.
pub(super) struct Floats<'g> {
    pub(super) format: FloatFormat,
    /// Its dimensions, whose product its bytes fit.
    pub(super) dims: Vec<usize>,
    /// Its elements, row-major and little endian.
    pub(super) bytes: Cow<'g, [u8]>,
    raw: Option<&'g Bytes>,
}

impl<'g> Operands<'g> {
    pub(super) fn new(graph: &'g Graph, id: NodeId, types: &'g BTreeMap<String, i32>) -> Self {
        Operands { graph, id, types }
    }

    pub(super) fn node(&self) -> &'g NodeProto {
        self.graph.node(self.id)
    }

    /// An input that is an initializer.
    pub(super) fn constant(&self, at: usize) -> Option<&'g TensorProto> {
        self.graph.initializer(self.graph.input(self.id, at)?)
    }

    /// The values of an input that is an initializer of integers.
    pub(super) fn integers(&self, at: usize) -> Option<Vec<i64>> {
        integers(self.constant(at)?)
    }

    /// Axes: an attribute of old versions, the second input of later ones.
    pub(super) fn axes(&self) -> Option<Vec<i64>> {
        ints_attribute(self.node(), "axes").map(<[i64]>::to_vec).or_else(|| self.integers(1))
    }

    /// ONNX's number of an input's element type, as far as it is known.
    pub(super) fn element_type(&self, at: usize) -> Option<i32> {
        let name = self.graph.name(self.graph.input(self.id, at)?);
        self.constant(at).and_then(|tensor| tensor.data_type).or_else(|| self.types.get(name).copied())
    }

    /// The first input, if it is a constant of floats and whole.
    pub(super) fn floats(&self) -> Option<Floats<'g>> {
        let tensor = self.constant(0)?;
        let format = FloatFormat::from_onnx(tensor.data_type?)?;
        let shape = Shape::from_signed(&tensor.dims).ok()?;
        let bytes = data(tensor, format);
        let whole = shape.bytes(8 * format.size()) == Some(bytes.len());
        whole.then(|| Floats { format, dims: shape.dims().to_vec(), bytes, raw: tensor.raw_data.as_ref() })
    }
}

impl Floats<'_> {
    /// The same elements in other dimensions; shared with the file where they lie there as bytes.
    pub(super) fn in_dims(&self, dims: impl IntoIterator<Item = usize>) -> TensorProto {
        let raw = self.raw.cloned().unwrap_or_else(|| Bytes::from(self.bytes.to_vec()));
        tensor(self.format, dims, raw)
    }

    /// Other elements of the same format.
    pub(super) fn with(&self, dims: impl IntoIterator<Item = usize>, bytes: Vec<u8>) -> TensorProto {
        tensor(self.format, dims, bytes.into())
    }
}

/// A tensor without a name.
pub(super) fn tensor(format: FloatFormat, dims: impl IntoIterator<Item = usize>, raw: Bytes) -> TensorProto {
    TensorProto {
        dims: dims.into_iter().map(|dim| dim as i64).collect(),
        data_type: Some(format.onnx()),
        raw_data: Some(raw),
        ..Default::default()
    }
}

/// What the last node of a graph folds to.
#[cfg(test)]
pub(super) fn folded(builder: crate::model::onnx::testing::GraphBuilder, fold: Fold) -> Option<TensorProto> {
    let graph = builder.build();
    fold(&Operands::new(&graph, graph.nodes().last()?, &graph.declared_types()))
}
