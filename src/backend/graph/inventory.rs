//! The nodes of a graph as layers: what they are called, and whether they can be quantized.

use std::ops::ControlFlow;

use crate::{
    model::onnx::{
        Constant, Graph, NodeId, OnnxError, constant, constant_type, inner_graphs, node_name,
        op::{OpFacts, WeightFacts},
        proto::NodeProto,
    },
    numeric::FloatFormat,
    spec::{Layer, Reason, Support},
    tensor::Shape,
};

/// A node that can be quantized.
#[derive(Clone, Debug)]
pub(in crate::backend) struct Candidate {
    pub(in crate::backend) node: NodeId,
    /// Which input the weight is.
    pub(in crate::backend) weight_input: usize,
    /// The axis of the weight's output channels.
    pub(in crate::backend) axis: usize,
    /// The constant that the weight is.
    pub(in crate::backend) source: String,
    /// Whether the graph transposes the constant before the node reads it.
    pub(in crate::backend) transposed: bool,
    /// The weight's element format and, after any transposition, its shape.
    pub(in crate::backend) format: FloatFormat,
    pub(in crate::backend) shape: Shape,
}

impl Candidate {
    /// Whether a sum of products of 8-bit codes, those of an output's weights and of as many inputs, fits 32 bits.
    pub(in crate::backend) fn sums_fit(&self) -> bool {
        const MOST_TERMS: usize = i32::MAX as usize / (u8::MAX as usize * i8::MAX as usize);
        let outputs = self.shape.dims().get(self.axis).copied().unwrap_or(1);
        self.shape.elements() / outputs.max(1) <= MOST_TERMS
    }
}

/// The nodes of a graph as layers.
pub(in crate::backend) struct Inventory {
    /// The layers, in the order of the nodes.
    pub(in crate::backend) layers: Vec<Layer>,
    /// For each layer, its weight if that can be quantized.
    pub(in crate::backend) candidates: Vec<Option<Candidate>>,
    /// For each layer, its node in the main graph; `None` where it is in a branch or a loop.
    pub(in crate::backend) nodes: Vec<Option<NodeId>>,
}

/// Whether layers of this operator hold weights worth reporting.
pub(in crate::backend) fn is_compute(op_type: &str) -> bool {
    OpFacts::of(op_type).weight.is_some()
}

/// All nodes of the main graph as layers, each with its candidate if its weight can be quantized. Nodes of the operators
/// in `inputs_only` may have their inputs quantized although they have no weight. Constants are not layers.
pub(in crate::backend) fn inventory(
    graph: &Graph,
    formats: &[FloatFormat],
    inputs_only: &[&str],
) -> Result<Inventory, OnnxError> {
    let (mut layers, mut candidates, mut nodes) = (Vec::new(), Vec::new(), Vec::new());
    let types = graph.carried_types();
    let unsupported = |id| {
        let found = graph.input(id, 0).and_then(|input| types.get(graph.name(input)));
        found.is_some_and(|&found| FloatFormat::from_onnx(found).is_none_or(|format| !formats.contains(&format)))
    };
    for id in graph.nodes() {
        let node = graph.node(id);
        let op_type = node.op_type.clone().unwrap_or_default();
        if op_type == "Constant" {
            continue;
        }
        let mut layer = Layer {
            name: node_name(node),
            aliases: node.output.first().cloned().into_iter().collect(),
            classes: vec![op_type.clone()],
            support: Support::No(Reason::OpUnsupported),
        };
        let mut candidate = None;
        if graph.op(id).is_some_and(|op| inputs_only.contains(&op)) {
            layer.support = if unsupported(id) { Support::No(Reason::DtypeUnsupported) } else { Support::InputsOnly };
        }
        if let Some(facts) = graph.facts(id).weight {
            let weight = graph.input(id, facts.input).map(|tensor| constant(graph, tensor)).transpose()?.flatten();
            match classify(node, facts, weight.as_ref(), formats) {
                ControlFlow::Continue((axis, weight)) => {
                    layer.support = Support::Yes;
                    candidate = Some(Candidate {
                        node: id,
                        weight_input: facts.input,
                        axis,
                        source: weight.source.clone(),
                        transposed: weight.transposed,
                        format: weight.format,
                        shape: weight.shape.clone(),
                    });
                }
                ControlFlow::Break(Reason::WeightNotConstant)
                    if graph.input(id, facts.input).is_some_and(|tensor| constant_type(graph, tensor).is_some()) =>
                {
                    layer.support = Support::No(Reason::DtypeUnsupported);
                }
                ControlFlow::Break(Reason::WeightNotConstant)
                    if layer.support != Support::No(Reason::OpUnsupported) => {}
                ControlFlow::Break(reason) => layer.support = Support::No(reason),
            }
            if let Some(weight) = weight {
                layer.classes.push(torch_class(&op_type, weight.shape.rank()));
                // The module that the weight belongs to is how the model's author knows the layer.
                layer.aliases.extend(weight.source.strip_suffix(".weight").map(str::to_owned));
                layer.aliases.push(weight.source);
            }
        }
        layers.push(layer);
        candidates.push(candidate);
        nodes.push(Some(id));
    }
    for id in graph.nodes() {
        let mut names = Vec::new();
        inner_layers(graph.node(id), &mut names);
        for layer in names {
            layers.push(layer);
            candidates.push(None);
            nodes.push(None);
        }
    }
    Ok(Inventory { layers, candidates, nodes })
}

/// The nodes in branches and loops of a node that compute with weights, so that users see why they stay as they are.
fn inner_layers(node: &NodeProto, layers: &mut Vec<Layer>) {
    for inner in inner_graphs(node).flat_map(|graph| &graph.node) {
        let op_type = inner.op_type.clone().unwrap_or_default();
        if is_compute(&op_type) {
            layers.push(Layer {
                name: node_name(inner),
                aliases: inner.output.first().cloned().into_iter().collect(),
                classes: vec![op_type],
                support: Support::No(Reason::InSubgraph),
            });
        }
        inner_layers(inner, layers);
    }
}

/// The axis of the output channels, or why the node cannot be quantized.
fn classify<'w, 'g>(
    node: &NodeProto,
    facts: WeightFacts,
    weight: Option<&'w Constant<'g>>,
    formats: &[FloatFormat],
) -> ControlFlow<Reason, (usize, &'w Constant<'g>)> {
    let Some(weight) = weight else { return ControlFlow::Break(Reason::WeightNotConstant) };
    if node.input.first().is_none_or(String::is_empty) {
        return ControlFlow::Break(Reason::ShapeUnsupported);
    }
    if !formats.contains(&weight.format) {
        return ControlFlow::Break(Reason::DtypeUnsupported);
    }
    if weight.shape.elements() == 0 {
        return ControlFlow::Break(Reason::Empty);
    }
    match (facts.output_axis)(node, weight.shape.rank()) {
        Some(axis) => ControlFlow::Continue((axis, weight)),
        None => ControlFlow::Break(Reason::ShapeUnsupported),
    }
}

/// What PyTorch calls a layer with this operator and rank of weight.
fn torch_class(op_type: &str, rank: usize) -> String {
    match op_type {
        "Conv" | "ConvTranspose" => format!("{op_type}{}d", rank.saturating_sub(2)),
        _ => "Linear".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::onnx::testing::GraphBuilder;

    fn conv(domain: &str) -> Inventory {
        let graph = GraphBuilder::new()
            .input("x", &[1, 4, 8, 8])
            .weight("block.weight", &[8, 4, 3, 3])
            .node("Conv", &["x", "block.weight"], &["y"])
            .domain(domain)
            .node("MaxPool", &["y"], &["pool"])
            .domain(domain);
        inventory(&graph.build(), &[FloatFormat::F32], &["MaxPool"]).unwrap()
    }

    #[test]
    fn both_spellings_of_the_default_domain_are_onnx_and_no_other_is() {
        for domain in ["", "ai.onnx"] {
            let found = conv(domain);
            assert_eq!(
                [Support::Yes, Support::InputsOnly],
                [found.layers[0].support, found.layers[1].support],
                "{domain}"
            );
            let candidate = found.candidates[0].as_ref().unwrap();
            assert_eq!((candidate.axis, &*candidate.source, candidate.weight_input), (0, "block.weight", 1));
            assert_eq!(found.layers[0].classes, ["Conv", "Conv2d"]);
        }
        let other = conv("com.microsoft");
        assert!(other.layers.iter().all(|layer| layer.support == Support::No(Reason::OpUnsupported)));
        assert!(other.candidates.iter().all(Option::is_none));
    }

    #[test]
    fn what_is_computed_in_doubles_stays_and_says_so() {
        use crate::model::onnx::proto::{TensorProto, type_proto::Value};
        const DOUBLE: i32 = 11;
        let w = TensorProto {
            name: Some("w".to_owned()),
            dims: vec![2, 2],
            data_type: Some(DOUBLE),
            double_data: vec![1.0; 4],
            ..Default::default()
        };
        let mut graph = GraphBuilder::new()
            .input("x", &[2, 2])
            .constant(w)
            .node("MatMul", &["x", "w"], &["a"])
            .node("Relu", &["a"], &["b"])
            .node("MatMul", &["b", "a"], &["y"])
            .proto();
        let input = graph.input[0].r#type.as_option_mut().and_then(|kind| kind.value.as_mut());
        let Some(Value::TensorType(tensor)) = input else { panic!("no type") };
        tensor.elem_type = Some(DOUBLE);
        let found = inventory(&Graph::new(graph).unwrap(), &[FloatFormat::F32], &["MatMul"]).unwrap();
        let double = Support::No(Reason::DtypeUnsupported);
        assert_eq!([found.layers[0].support, found.layers[2].support], [double, double]);
    }

    #[test]
    fn a_node_without_inputs_is_a_layer_that_stays() {
        let graph = GraphBuilder::new().node("MatMul", &[], &["y"]).node("Gemm", &["", "w"], &["z"]).build();
        let found = inventory(&graph, &[FloatFormat::F32], &[]).unwrap();
        assert!(found.layers.iter().all(|layer| layer.support == Support::No(Reason::WeightNotConstant)));
    }

    #[test]
    fn layers_in_branches_are_named_and_have_no_node() {
        let branch = GraphBuilder::new().node("MatMul", &["a", "b"], &["inside"]);
        let graph = GraphBuilder::new().node("If", &["c"], &["y"]).inner("then_branch", branch).build();
        let found = inventory(&graph, &[FloatFormat::F32], &[]).unwrap();
        assert_eq!((&*found.layers[1].name, found.layers[1].support), ("inside", Support::No(Reason::InSubgraph)));
        assert_eq!(found.nodes[1], None);
    }
}
