//! [`QdqWriter`]: putting pairs of QuantizeLinear and DequantizeLinear into a graph.

use std::collections::BTreeMap;

use crate::{
    model::onnx::{
        Bytes, Graph, TensorId, Use, attribute_int, constant, new_node,
        proto::{TensorProto, data_type},
    },
    numeric::{DType, FloatFormat},
    quant::QParams,
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

    /// Puts a pair of codes from 0 to 255 behind the node that gives a tensor of `format`; `uses` read what it gives, and
    /// whatever else there is the tensor itself. `zero_point` is that of codes from −128 to 127.
    pub fn quantize_behind(&mut self, tensor: &str, uses: &[Use], params: QParams, format: FloatFormat) {
        let Some(id) = self.graph.tensor(tensor) else { return };
        let scale = self.scalar(&format!("{tensor}.scale"), format.onnx(), format.encode(params.scale));
        let zero = self.scalar(&format!("{tensor}.zero_point"), data_type::UINT8, vec![params.unsigned_zero_point()]);
        let [quantized, dequantized] =
            ["quantized", "dequantized"].map(|suffix| self.graph.claim(&format!("{tensor}.{suffix}")));
        let q_inputs = vec![tensor.to_owned(), scale.clone(), zero.clone()];
        let q = new_node("QuantizeLinear", "", q_inputs, &quantized);
        let dq = new_node("DequantizeLinear", "", vec![quantized, scale, zero], &dequantized);
        self.graph.insert_behind_for(id, uses, vec![q, dq]);
    }

    /// Stores a constant operand as codes from 0 to 255, and has the node read what they stand for. The zero point is that of
    /// codes from −128 to 127.
    pub fn quantize_constant(&mut self, at: Use, params: QParams) {
        let Some(tensor) = self.graph.input(at.node, at.input) else { return };
        let Some(constant) = constant(self.graph, tensor).ok().flatten() else { return };
        let zero_point = params.unsigned_zero_point();
        let code = |value: &f32| ((value / params.scale).round_ties_even() + f32::from(zero_point)) as u8;
        let codes: Vec<u8> = constant.values().iter().map(code).collect();
        // The rank may be what gives the result's.
        let dims = constant.shape.dims().iter().map(|&dim| dim as i64).collect();
        let tensor = self.graph.name(tensor).to_owned();
        let scale = self.scalar(&format!("{tensor}.scale"), data_type::FLOAT, params.scale.to_le_bytes().to_vec());
        let zero = self.scalar(&format!("{tensor}.zero_point"), data_type::UINT8, vec![zero_point]);
        let [quantized, dequantized] =
            ["quantized", "dequantized"].map(|suffix| self.graph.claim(&format!("{tensor}.{suffix}")));
        self.graph.add_initializer(TensorProto {
            name: Some(quantized.clone()),
            dims,
            data_type: Some(data_type::UINT8),
            raw_data: Some(Bytes::from(codes)),
            ..Default::default()
        });
        let dq = new_node("DequantizeLinear", "", vec![quantized, scale, zero], &dequantized);
        self.graph.insert_on_edge(&[at], vec![dq]);
    }

    /// Stores a layer's bias as codes of 32 bits, one scale for each channel, and has the layer read what they stand for.
    pub fn quantize_bias(&mut self, at: Use, name: &str, codes: &[i32], scales: &[f32]) {
        let one = |values: Vec<u8>, element: i32, name: String| TensorProto {
            name: Some(name),
            dims: vec![codes.len() as i64],
            data_type: Some(element),
            raw_data: Some(Bytes::from(values)),
            ..Default::default()
        };
        // Named after the layer: two that share a bias have scales of their own.
        let [quantized, scale, dequantized] =
            ["quantized", "scale", "dequantized"].map(|suffix| self.graph.claim(&format!("{name}.bias.{suffix}")));
        let bytes = codes.iter().flat_map(|code| code.to_le_bytes()).collect();
        self.graph.add_initializer(one(bytes, data_type::INT32, quantized.clone()));
        let bytes = scales.iter().flat_map(|scale| scale.to_le_bytes()).collect();
        self.graph.add_initializer(one(bytes, data_type::FLOAT, scale.clone()));
        let mut dq = new_node("DequantizeLinear", "", vec![quantized, scale], &dequantized);
        dq.attribute.push(attribute_int("axis", 0));
        self.graph.insert_on_edge(&[at], vec![dq]);
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
    fn a_pair_behind_a_tensor_is_for_the_readers_that_want_it_and_has_unsigned_codes() {
        let graph = GraphBuilder::new().input("x", &[1]).weight("w", &[1]).node("Relu", &["x"], &["r"]);
        let mut graph = graph.node("Conv", &["r", "w", "w"], &["a"]).node("Erf", &["r"], &["b"]).build();
        let conv = graph.node_at(1).unwrap();
        let mut writer = QdqWriter::new(&mut graph);
        let params = QParams { scale: 0.5, zero_point: -15 };
        writer.quantize_behind("r", &[Use { node: conv, input: 0 }], params, FloatFormat::F32);
        writer.quantize_bias(Use { node: conv, input: 2 }, "conv", &[7, -1], &[0.25, 0.5]);
        let expected = [
            "Relu(x) -> r",
            "QuantizeLinear(r, r.scale, r.zero_point) -> r.quantized",
            "DequantizeLinear(r.quantized, r.scale, r.zero_point) -> r.dequantized",
            "DequantizeLinear(conv.bias.quantized, conv.bias.scale) -> conv.bias.dequantized",
            "Conv(r.dequantized, w, conv.bias.dequantized) -> a",
            "Erf(r) -> b",
        ];
        assert_eq!(lines(&graph), expected);
        let of = |name: &str| graph.initializer(graph.tensor(name).unwrap()).unwrap().clone();
        let zero = of("r.zero_point");
        assert_eq!((zero.data_type, zero.raw_data.unwrap().to_vec()), (Some(data_type::UINT8), vec![113]));
        let codes = of("conv.bias.quantized");
        assert_eq!(
            (codes.data_type, codes.raw_data.unwrap().to_vec()),
            (Some(data_type::INT32), [[7, 0, 0, 0], [255; 4]].concat())
        );
    }

    #[test]
    fn a_constant_operand_has_unsigned_codes_in_its_own_shape() {
        let graph = GraphBuilder::new().input("x", &[1, 3]).floats("c", &[1, 3], &[-0.5, 0.0, 127.5]);
        let mut graph = graph.node("Add", &["c", "x"], &["y"]).build();
        let add = graph.node_at(0).unwrap();
        let params = QParams { scale: 0.5, zero_point: -127 };
        QdqWriter::new(&mut graph).quantize_constant(Use { node: add, input: 0 }, params);
        let expected =
            ["DequantizeLinear(c.quantized, c.scale, c.zero_point) -> c.dequantized", "Add(c.dequantized, x) -> y"];
        assert_eq!(lines(&graph), expected);
        let of = |name: &str| graph.initializer(graph.tensor(name).unwrap()).unwrap().clone();
        assert_eq!(of("c.quantized").dims, [1, 3]);
        let bytes = |name: &str| of(name).raw_data.unwrap().to_vec();
        assert_eq!((bytes("c.zero_point"), bytes("c.quantized")), (vec![1], vec![0, 1, 255]));
    }

    #[test]
    fn an_input_that_is_not_there_stays_so() {
        let mut graph = graph();
        quantize(&mut graph, &[(0, 2, 0.5, DType::Int8)]);
        assert_eq!((lines(&graph).len(), constants(&graph)), (2, vec!["w"]));
    }
}
