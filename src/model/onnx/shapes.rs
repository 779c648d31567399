//! How large the tensors of a graph are, as far as the graph and its constants tell.
//!
//! For predicting memory: what is not known is taken to be as large as the largest input of its node, which is right for
//! what works element by element.

use std::collections::BTreeMap;

use super::{
    Graph, int_attribute,
    node::ints_attribute,
    proto::{NodeProto, tensor_shape_proto, type_proto},
};

/// The dimensions of each tensor of a graph.
#[derive(Debug, Default)]
pub struct Shapes(BTreeMap<String, Vec<u64>>);

impl Shapes {
    /// `inputs` are the dimensions of the graph's inputs, samples first, as they will be.
    pub fn infer(graph: &Graph, inputs: &BTreeMap<String, Vec<u64>>) -> Self {
        let mut open: BTreeMap<String, u64> = BTreeMap::new();
        for info in graph.inputs() {
            let Some(known) = info.name.as_ref().and_then(|name| inputs.get(name)) else { continue };
            let named = names_of_dimensions(info.r#type.as_option().and_then(|kind| kind.value.as_ref()));
            open.extend(named.into_iter().zip(known).filter_map(|(name, &size)| Some((name.err()?, size))));
        }
        let mut shapes = Shapes(inputs.clone());
        for tensor in graph.initializers() {
            let dims = tensor.dims.iter().map(|&dim| u64::try_from(dim).unwrap_or(0)).collect();
            shapes.0.insert(tensor.name.clone().unwrap_or_default(), dims);
        }
        for info in graph.frame().value_info.iter().chain(graph.outputs()) {
            let named = names_of_dimensions(info.r#type.as_option().and_then(|kind| kind.value.as_ref()));
            let dims: Option<Vec<u64>> = named
                .iter()
                .map(|dim| dim.as_ref().map_or_else(|name| open.get(name).copied(), |&size| Some(size)))
                .collect();
            if let (Some(name), Some(dims), false) = (&info.name, dims, named.is_empty()) {
                shapes.0.entry(name.clone()).or_insert(dims);
            }
        }
        for node in graph.nodes().map(|id| graph.node(id)) {
            let Some(output) = node.output.first() else { continue };
            if !shapes.0.contains_key(output) {
                let dims = shapes.of_node(node);
                shapes.0.extend(dims.map(|dims| (output.clone(), dims)));
            }
        }
        shapes
    }

    /// Elements of a tensor; 0 of one that is not known at all.
    pub fn elements(&self, tensor: &str) -> u64 {
        self.0.get(tensor).map_or(0, |dims| dims.iter().fold(1, |product: u64, &dim| product.saturating_mul(dim)))
    }

    fn of_node(&self, node: &NodeProto) -> Option<Vec<u64>> {
        let known = |at: usize| node.input.get(at).and_then(|name| self.0.get(name));
        let ints = |name: &str| ints_attribute(node, name).unwrap_or_default();
        let matched = match node.op_type.as_deref()? {
            "Conv" => windowed(known(0)?, Some(known(1)?), ints("kernel_shape"), ints("strides"), ints("pads")),
            "MaxPool" | "AveragePool" => windowed(known(0)?, None, ints("kernel_shape"), ints("strides"), ints("pads")),
            "GlobalAveragePool" => known(0)
                .map(|dims| dims.iter().enumerate().map(|(axis, &dim)| if axis < 2 { dim } else { 1 }).collect()),
            "Gemm" => {
                let (a, b) = (known(0)?, known(1)?);
                let transposed = int_attribute(node, "transB").unwrap_or(0) != 0;
                Some(vec![*a.first()?, *b.get(usize::from(!transposed))?])
            }
            "MatMul" => {
                let (a, b) = (known(0)?, known(1)?);
                let mut dims = a.clone();
                *dims.last_mut()? = *b.last()?;
                Some(dims)
            }
            _ => None,
        };
        let size = |dims: &&Vec<u64>| dims.iter().fold(1, |product: u64, &dim| product.saturating_mul(dim));
        matched.or_else(|| (0..node.input.len()).filter_map(known).max_by_key(size).cloned())
    }
}

/// Batch and channels of a convolution or a pooling, and what its window leaves of each other dimension.
fn windowed(
    input: &[u64],
    weight: Option<&Vec<u64>>,
    kernel: &[i64],
    strides: &[i64],
    pads: &[i64],
) -> Option<Vec<u64>> {
    let positive = |value: Option<&i64>, default: i64| u64::try_from(*value.unwrap_or(&default)).ok();
    let mut dims = vec![*input.first()?, weight.map_or(input.get(1), |weight| weight.first()).copied()?];
    let spatial = input.len().checked_sub(2)?;
    for (axis, &dim) in input.iter().skip(2).enumerate() {
        let size = weight.and_then(|weight| weight.get(axis + 2).copied()).or_else(|| positive(kernel.get(axis), 1))?;
        let padding = positive(pads.get(axis), 0)?.checked_add(positive(pads.get(axis + spatial), 0)?)?;
        let moved = dim.checked_add(padding)?.saturating_sub(size);
        dims.push(moved / positive(strides.get(axis), 1)?.max(1) + 1);
    }
    Some(dims)
}

/// The dimensions that a type states: a size, or the name of one that is open.
fn names_of_dimensions(value: Option<&type_proto::Value>) -> Vec<Result<u64, String>> {
    use tensor_shape_proto::dimension::Value;
    let Some(type_proto::Value::TensorType(tensor)) = value else { return Vec::new() };
    let Some(shape) = tensor.shape.as_option() else { return Vec::new() };
    let one = |value: &Option<Value>| match value {
        Some(Value::DimValue(size)) => Ok(u64::try_from(*size).unwrap_or(0)),
        Some(Value::DimParam(name)) => Err(name.clone()),
        None => Err(String::new()),
    };
    shape.dim.iter().map(|dim| one(&dim.value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::onnx::testing::GraphBuilder;

    #[test]
    fn sizes_follow_the_weights_and_what_is_not_known_its_inputs() {
        let graph = GraphBuilder::new()
            .weight("w", &[64, 3, 7, 7])
            .weight("fc", &[64, 10])
            .node("Conv", &["x", "w"], &["c"])
            .int_list("strides", &[2, 2])
            .int_list("pads", &[3, 3, 3, 3])
            .node("Relu", &["c"], &["r"])
            .node("GlobalAveragePool", &["r"], &["p"])
            .node("Mystery", &["p"], &["m"])
            .node("Gemm", &["m", "fc"], &["y"])
            .build();
        let inputs = BTreeMap::from([("x".to_owned(), vec![8, 3, 224, 224])]);
        let shapes = Shapes::infer(&graph, &inputs);
        let elements = ["x", "c", "r", "p", "m", "y", "?"].map(|name| shapes.elements(name));
        let c = 8 * 64 * 112 * 112;
        assert_eq!(elements, [8 * 3 * 224 * 224, c, c, 512, 512, 80, 0]);
    }
}
