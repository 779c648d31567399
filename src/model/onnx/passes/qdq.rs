//! [`QdqWriter`]: putting pairs of QuantizeLinear and DequantizeLinear into a graph.

use std::collections::BTreeMap;

use crate::{
    model::onnx::{Bytes, Graph, TensorId, Use, new_node, proto::TensorProto},
    numeric::{DType, FloatFormat},
};

/// Puts pairs into a graph, one for each tensor and way of quantizing it.
#[derive(Debug)]
pub struct QdqWriter<'g> {
    graph: &'g mut Graph,
    /// Dequantized tensors made so far: by tensor, bits of the scale, and dtype.
    pairs: BTreeMap<(TensorId, u32, DType), String>,
}

impl<'g> QdqWriter<'g> {
    /// For a graph that no one else changes meanwhile.
    pub fn new(graph: &'g mut Graph) -> Self {
        QdqWriter { graph, pairs: BTreeMap::new() }
    }

    /// Puts a Q/DQ pair (symmetric, one scale) before one input of a node; the tensor there is of `format`. Consumers that
    /// quantize one tensor alike share the pair, which stands before the first of them in the order of these calls; call in
    /// the order of the nodes. An input that is left out stays so.
    pub fn quantize_activation(&mut self, at: Use, scale: f32, dtype: DType, format: FloatFormat) {
        let Some(tensor) = self.graph.input(at.node, at.input) else { return };
        let key = (tensor, scale.to_bits(), dtype);
        if let Some(dequantized) = self.pairs.get(&key) {
            return self.graph.set_input(at, dequantized);
        }
        let tensor = self.graph.name(tensor).to_owned();
        let scale = self.scalar(&format!("{tensor}.scale"), format.onnx(), format.encode(scale));
        let zero = self.scalar(&format!("{tensor}.zero_point"), dtype.spec().onnx, vec![0]);
        let [quantized, dequantized] =
            ["quantized", "dequantized"].map(|suffix| self.graph.claim(&format!("{tensor}.{suffix}")));
        let q_inputs = vec![tensor, scale.clone(), zero.clone()];
        let q = new_node("QuantizeLinear", "", q_inputs, &quantized);
        let dq = new_node("DequantizeLinear", "", vec![quantized, scale, zero], &dequantized);
        self.graph.insert_on_edge(&[at], vec![q, dq]);
        self.pairs.insert(key, dequantized);
    }

    fn scalar(&mut self, name: &str, element: i32, bytes: Vec<u8>) -> String {
        let name = self.graph.claim(name);
        self.graph.add_initializer(TensorProto {
            name: Some(name.clone()),
            data_type: Some(element),
            raw_data: Some(Bytes::from(bytes)),
            ..Default::default()
        });
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::onnx::testing::{GraphBuilder, constants, lines};

    fn graph() -> Graph {
        let x = GraphBuilder::new().input("x", &[1]).weight("w", &[1]);
        x.node("Conv", &["x", "w"], &["a"]).node("Conv", &["x", "w"], &["b"]).build()
    }

    fn quantize(graph: &mut Graph, ways: &[(usize, usize, f32, DType)]) {
        let nodes: Vec<_> = graph.nodes().collect();
        let mut writer = QdqWriter::new(graph);
        for &(node, input, scale, dtype) in ways {
            writer.quantize_activation(Use { node: nodes[node], input }, scale, dtype, FloatFormat::F32);
        }
    }

    #[test]
    fn consumers_that_quantize_alike_share_a_pair_before_the_first() {
        let mut graph = graph();
        quantize(&mut graph, &[(0, 0, 0.5, DType::Int8), (1, 0, 0.5, DType::Int8)]);
        let expected = [
            "QuantizeLinear(x, x.scale, x.zero_point) -> x.quantized",
            "DequantizeLinear(x.quantized, x.scale, x.zero_point) -> x.dequantized",
            "Conv(x.dequantized, w) -> a",
            "Conv(x.dequantized, w) -> b",
        ];
        assert_eq!(lines(&graph), expected);
        assert_eq!(constants(&graph), ["w", "x.scale", "x.zero_point"]);
    }

    #[test]
    fn another_scale_or_dtype_has_a_pair_of_its_own() {
        for other in [(1, 0, 0.25, DType::Int8), (1, 0, 0.5, DType::Fp8E4m3fn)] {
            let mut graph = graph();
            quantize(&mut graph, &[(0, 0, 0.5, DType::Int8), other]);
            assert_eq!(lines(&graph).len(), 6);
            assert_eq!(lines(&graph).last().unwrap(), "Conv(x.dequantized_2, w) -> b");
        }
    }

    #[test]
    fn an_input_that_is_not_there_stays_so() {
        let mut graph = graph();
        quantize(&mut graph, &[(0, 2, 0.5, DType::Int8)]);
        assert_eq!((lines(&graph).len(), constants(&graph)), (2, vec!["w"]));
    }
}
