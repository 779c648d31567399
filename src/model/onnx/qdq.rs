//! [`QdqWriter`]: putting pairs of QuantizeLinear and DequantizeLinear into a graph.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{
    GraphIndex, OnnxError, new_node,
    proto::{GraphProto, NodeProto, TensorProto},
};
use crate::numeric::{DType, FloatFormat};

/// Collects changes to a graph and then makes them all at once.
#[derive(Debug)]
pub struct QdqWriter<'g> {
    graph: &'g mut GraphProto,
    index: GraphIndex,
    /// New nodes, to stand right before the node at the position.
    before: BTreeMap<usize, Vec<NodeProto>>,
    /// Dequantized tensors made so far: by tensor, bits of the scale, and dtype.
    pairs: BTreeMap<(String, u32, DType), String>,
}

impl<'g> QdqWriter<'g> {
    /// For a graph that no one else changes meanwhile.
    pub fn new(graph: &'g mut GraphProto) -> Result<Self, OnnxError> {
        let index = GraphIndex::new(graph)?;
        Ok(QdqWriter { graph, index, before: BTreeMap::new(), pairs: BTreeMap::new() })
    }

    /// Puts a Q/DQ pair (symmetric, one scale) before one input of a node; the tensor there is of `format`. Consumers that
    /// quantize one tensor alike share the pair, which stands before the first of them in the order of these calls; call in
    /// the order of the nodes.
    pub fn quantize_activation(&mut self, node: usize, input: usize, scale: f32, dtype: DType, format: FloatFormat) {
        let tensor = self.graph.node[node].input[input].clone();
        let key = (tensor, scale.to_bits(), dtype);
        let dequantized = match self.pairs.get(&key) {
            Some(pair) => pair.clone(),
            None => {
                let made = self.pair(node, &key.0, scale, dtype, format);
                self.pairs.insert(key, made.clone());
                made
            }
        };
        self.graph.node[node].input[input] = dequantized;
    }

    fn pair(&mut self, node: usize, tensor: &str, scale: f32, dtype: DType, format: FloatFormat) -> String {
        let scale = self.scalar(&format!("{tensor}.scale"), format.onnx(), format.encode(scale));
        let zero = self.scalar(&format!("{tensor}.zero_point"), dtype.spec().onnx, vec![0]);
        let quantized = self.index.claim(&format!("{tensor}.quantized"));
        let dequantized = self.index.claim(&format!("{tensor}.dequantized"));
        let q_inputs = vec![tensor.to_owned(), scale.clone(), zero.clone()];
        let q = new_node("QuantizeLinear", "", q_inputs, &quantized);
        let dq = new_node("DequantizeLinear", "", vec![quantized, scale, zero], &dequantized);
        self.before.entry(node).or_default().extend([q, dq]);
        dequantized
    }

    fn scalar(&mut self, name: &str, element: i32, bytes: Vec<u8>) -> String {
        let name = self.index.claim(name);
        self.graph.initializer.push(TensorProto {
            name: Some(name.clone()),
            data_type: Some(element),
            raw_data: Some(Bytes::from(bytes)),
            ..Default::default()
        });
        name
    }

    /// Makes the changes.
    pub fn finish(self) {
        let QdqWriter { graph, mut before, .. } = self;
        for (position, node) in std::mem::take(&mut graph.node).into_iter().enumerate() {
            graph.node.extend(before.remove(&position).unwrap_or_default());
            graph.node.push(node);
        }
    }
}
