//! [`QdqWriter`]: putting QuantizeLinear and DequantizeLinear into a graph.

use std::collections::{BTreeMap, BTreeSet};

use buffa::bytes::Bytes;

use super::{
    GraphIndex, OnnxError, attribute_int, new_node,
    proto::{GraphProto, NodeProto, TensorProto, data_type},
    prune::{fold_shapes, prune},
};
use crate::{numeric::DType, quant::Quantized, tensor::Shape};

/// A weight in low precision, to take the place of a float constant.
#[derive(Debug)]
pub struct QuantizedWeight {
    /// The name of the float constant; its tensors are named after it.
    pub name: String,
    /// The shape of the codes.
    pub shape: Shape,
    /// The channel axis; `None` for one scale.
    pub axis: Option<usize>,
    /// The dtype of the codes.
    pub dtype: DType,
    /// Codes and scales.
    pub values: Quantized,
}

/// Collects changes to a graph and then makes them all at once.
#[derive(Debug)]
pub struct QdqWriter<'g> {
    graph: &'g mut GraphProto,
    index: GraphIndex,
    /// New nodes, to stand right before the node at the position.
    before: BTreeMap<usize, Vec<NodeProto>>,
    /// Dequantized tensors made so far, by what they were made of.
    pairs: BTreeMap<String, String>,
    orphans: Vec<String>,
    /// Constants whose values are stored in low precision now.
    replaced: BTreeSet<String>,
}

impl<'g> QdqWriter<'g> {
    /// For a graph that no one else changes meanwhile.
    pub fn new(graph: &'g mut GraphProto) -> Result<Self, OnnxError> {
        let index = GraphIndex::new(graph)?;
        Ok(QdqWriter {
            graph,
            index,
            before: BTreeMap::new(),
            pairs: BTreeMap::new(),
            orphans: Vec::new(),
            replaced: BTreeSet::new(),
        })
    }

    /// Puts a Q/DQ pair (symmetric, one scale) before one input of a node. Consumers of one tensor share the pair, which
    /// stands before the first of them in the order of these calls; call in the order of the nodes.
    pub fn quantize_activation(&mut self, node: usize, input: usize, scale: f32, dtype: DType) {
        let tensor = self.graph.node[node].input[input].clone();
        let dequantized = match self.pairs.get(&tensor) {
            Some(pair) => pair.clone(),
            None => self.activation_pair(node, &tensor, scale, dtype),
        };
        self.graph.node[node].input[input] = dequantized;
    }

    fn activation_pair(&mut self, node: usize, tensor: &str, scale: f32, dtype: DType) -> String {
        let scale = self.initializer(&format!("{tensor}.scale"), &[], data_type::FLOAT, scale.to_le_bytes().to_vec());
        let zero = self.initializer(&format!("{tensor}.zero_point"), &[], dtype.spec().onnx, vec![0]);
        let quantized = self.index.claim(&format!("{tensor}.quantized"));
        let dequantized = self.index.claim(&format!("{tensor}.dequantized"));
        let q_inputs = vec![tensor.to_owned(), scale.clone(), zero.clone()];
        let q = new_node("QuantizeLinear", "", q_inputs, &quantized);
        let dq = new_node("DequantizeLinear", "", vec![quantized, scale, zero], &dequantized);
        self.before.entry(node).or_default().extend([q, dq]);
        self.pairs.insert(tensor.to_owned(), dequantized.clone());
        dequantized
    }

    /// Puts a weight in low precision and a DequantizeLinear in the place of a node's constant input.
    pub fn quantize_weight(&mut self, node: usize, input: usize, weight: &QuantizedWeight) {
        let QuantizedWeight { name, shape, axis, dtype, values } = weight;
        let spec = dtype.spec();
        let per: Vec<usize> = axis.iter().map(|_| values.params.len()).collect();
        let scales = values.params.iter().flat_map(|params| params.scale.to_le_bytes()).collect();
        let codes = self.initializer(&format!("{name}.quantized"), shape.dims(), spec.onnx, values.codes.clone());
        let scale = self.initializer(&format!("{name}.scale"), &per, data_type::FLOAT, scales);
        let zeros = vec![0; values.params.len()];
        let zero = self.initializer(&format!("{name}.zero_point"), &per, spec.onnx, zeros);
        let dequantized = self.index.claim(&format!("{name}.dequantized"));
        let mut dq = new_node("DequantizeLinear", "", vec![codes, scale, zero], &dequantized);
        if let Some(axis) = axis {
            dq.attribute.push(attribute_int("axis", *axis as i64));
        }
        self.before.entry(node).or_default().push(dq);
        let replaced = std::mem::replace(&mut self.graph.node[node].input[input], dequantized);
        self.orphans.push(replaced);
        self.replaced.insert(name.clone());
    }

    fn initializer(&mut self, name: &str, dims: &[usize], element: i32, bytes: Vec<u8>) -> String {
        let name = self.index.claim(name);
        self.graph.initializer.push(TensorProto {
            name: Some(name.clone()),
            dims: dims.iter().map(|&d| d as i64).collect(),
            data_type: Some(element),
            raw_data: Some(Bytes::from(bytes)),
            ..Default::default()
        });
        name
    }

    /// Makes the changes, and removes the float constants that nothing reads any more.
    pub fn finish(self) {
        let QdqWriter { graph, mut before, orphans, replaced, .. } = self;
        fold_shapes(graph, &replaced);
        for (position, node) in std::mem::take(&mut graph.node).into_iter().enumerate() {
            graph.node.extend(before.remove(&position).unwrap_or_default());
            graph.node.push(node);
        }
        prune(graph, orphans);
    }
}
