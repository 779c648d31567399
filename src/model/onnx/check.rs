//! Whether a graph can be one: checked once when a model is read, so that nothing behind it has to doubt it.
//!
//! What an engine accepts is accepted. Of operators that are not ONNX's, or newer than [`super::op`], nothing is known.

use std::collections::HashSet;

use super::{
    Graph, OnnxError,
    circle::on_circle,
    node::{given_without_nodes, inner_graphs, int_attribute, is_own_domain, node_name},
    op::OpFacts,
    proto::{GraphProto, NodeProto},
};

/// Checks a graph and those of its branches and loops: every node has the inputs and outputs that its operator cannot do
/// without, every tensor that is read is given by something, none by two things, and no node waits for itself.
pub(super) fn check(graph: &Graph) -> Result<(), OnnxError> {
    let mut scope = Scope::new(graph.frame(), None);
    scope.given.extend(graph.initializers().filter_map(|tensor| tensor.name.as_deref()));
    let nodes: Vec<&NodeProto> = graph.nodes().map(|id| graph.node(id)).collect();
    scope.graph(graph.frame(), &nodes)
}

/// The tensors that a graph has, and those around it that it sees.
struct Scope<'g> {
    given: HashSet<&'g str>,
    outer: Option<&'g Scope<'g>>,
}

impl<'g> Scope<'g> {
    /// Those that the graph has without computing them.
    fn new(graph: &'g GraphProto, outer: Option<&'g Scope<'g>>) -> Self {
        Scope { given: given_without_nodes(graph).collect(), outer }
    }

    fn has(&self, name: &str) -> bool {
        self.given.contains(name) || self.outer.is_some_and(|outer| outer.has(name))
    }

    /// Checks a graph whose nodes these are; so far the scope has what is given without them.
    fn graph(&mut self, graph: &GraphProto, nodes: &[&'g NodeProto]) -> Result<(), OnnxError> {
        distinct("inputs", graph.input.iter().filter_map(|input| input.name.as_deref()))?;
        for output in nodes.iter().flat_map(|node| &node.output).filter(|output| !output.is_empty()) {
            if !self.given.insert(output) {
                return Err(OnnxError::Duplicate { tensor: output.clone() });
            }
        }
        distinct("nodes", nodes.iter().filter_map(|node| node.name.as_deref()))?;
        nodes.iter().try_for_each(|node| self.node(node))?;
        self.outputs(graph)?;
        match on_circle(nodes) {
            Some(node) => {
                Err(OnnxError::Cycle { node: node_name(node), op_type: node.op_type.clone().unwrap_or_default() })
            }
            None => Ok(()),
        }
    }

    fn node(&self, node: &NodeProto) -> Result<(), OnnxError> {
        let (name, op_type) = (|| node_name(node), || node.op_type.clone().unwrap_or_default());
        if is_own_domain(node.domain.as_deref()) {
            let facts = OpFacts::of(node.op_type.as_deref().unwrap_or_default());
            for (what, found, least) in
                [("inputs", node.input.len(), facts.least_inputs), ("outputs", node.output.len(), facts.least_outputs)]
            {
                if found < least {
                    return Err(OnnxError::Arity { node: name(), op_type: op_type(), what, found, least });
                }
            }
            // Engines divide the channels of a convolution by it, and do not all look first.
            if let Some(found @ ..1) = int_attribute(node, "group") {
                let (node, op_type) = (name(), op_type());
                return Err(OnnxError::AttributeRange { node, op_type, attribute: "group", found, least: 1 });
            }
        }
        if let Some(missing) = node.input.iter().find(|input| !input.is_empty() && !self.has(input)) {
            return Err(OnnxError::InputMissing { node: name(), op_type: op_type(), tensor: missing.clone() });
        }
        inner_graphs(node).try_for_each(|graph| {
            let nodes: Vec<&NodeProto> = graph.node.iter().collect();
            Scope::new(graph, Some(self)).graph(graph, &nodes)
        })
    }

    fn outputs(&self, graph: &GraphProto) -> Result<(), OnnxError> {
        let mut names = graph.output.iter().filter_map(|output| output.name.as_deref());
        match names.find(|name| !self.has(name)) {
            Some(name) => Err(OnnxError::OutputMissing { tensor: name.to_owned() }),
            None => Ok(()),
        }
    }
}

/// Whether no two of these things have one name; an empty name is none.
fn distinct<'n>(what: &'static str, names: impl Iterator<Item = &'n str>) -> Result<(), OnnxError> {
    let mut seen = HashSet::new();
    match names.filter(|name| !name.is_empty()).find(|name| !seen.insert(*name)) {
        Some(name) => Err(OnnxError::SameName { what, name: name.to_owned() }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        fault::{Fault, FaultCode},
        model::onnx::testing::GraphBuilder,
    };

    fn checked(graph: GraphBuilder) -> Result<(), String> {
        check(&graph.build()).map_err(|error| {
            assert_eq!(error.code(), FaultCode::ModelInvalid);
            assert!(error.hint().is_some());
            error.to_string()
        })
    }

    fn x() -> GraphBuilder {
        GraphBuilder::new().input("x", &[1])
    }

    #[test]
    fn a_pooling_without_inputs_is_refused() {
        let error = checked(x().node("MaxPool", &[], &["y"])).unwrap_err();
        assert_eq!(error, "node `y` (MaxPool) has too few inputs: 0, and 1 or more are needed");
    }

    #[test]
    fn a_normalization_without_outputs_is_refused() {
        let graph = x().node("Conv", &["x", "x"], &["c"]).node("BatchNormalization", &["c", "x", "x", "x", "x"], &[]);
        let error = checked(graph).unwrap_err();
        assert_eq!(
            error,
            "node `BatchNormalization` (BatchNormalization) has too few outputs: 0, and 1 or more are needed"
        );
    }

    #[test]
    fn channels_in_no_groups_are_refused() {
        for (groups, refused) in [(0, true), (-2, true), (1, false)] {
            let graph = x().node("ConvTranspose", &["x", "x"], &["y"]).int("group", groups);
            assert_eq!(checked(graph).is_err(), refused, "{groups}");
        }
    }

    #[test]
    fn the_other_spelling_of_the_domain_is_checked_and_other_domains_are_not() {
        assert!(checked(x().node("Conv", &["x"], &["y"]).domain("ai.onnx")).is_err());
        assert_eq!(checked(x().node("Conv", &["x"], &["y"]).domain("com.microsoft")), Ok(()));
        assert_eq!(checked(x().node("OfTheFuture", &[], &["y"])), Ok(()));
    }

    #[test]
    fn a_tensor_that_nothing_gives_is_refused() {
        let error = checked(x().node("Add", &["x", "lost"], &["y"])).unwrap_err();
        assert_eq!(error, "node `y` (Add) reads tensor `lost`, which nothing gives");
        assert!(checked(x().node("Relu", &["x"], &["y"]).output("z", &[])).is_err());
        assert_eq!(checked(x().node("Clip", &["x", ""], &["y"]).output("y", &[])), Ok(()));
    }

    #[test]
    fn branches_see_what_is_around_them_and_nothing_sees_into_them() {
        let branch = |reads: &str| GraphBuilder::new().node("Neg", &[reads], &["inner"]).output("inner", &[]);
        let with = |reads: &str| x().node("If", &["x"], &["y"]).inner("then_branch", branch(reads));
        assert_eq!(checked(with("x")), Ok(()));
        assert!(checked(with("lost")).is_err());
        assert!(checked(with("x").node("Neg", &["inner"], &["z"])).is_err());
        let bare = x().node("If", &["x"], &["y"]).inner("then_branch", branch("x").node("Relu", &[], &["r"]));
        assert!(checked(bare).is_err());
    }

    #[test]
    fn a_branch_may_have_a_tensor_of_the_name_of_its_nodes_output() {
        let branch = GraphBuilder::new().node("Neg", &["x"], &["y"]).output("y", &[]);
        assert_eq!(checked(x().node("If", &["x"], &["y"]).inner("then_branch", branch)), Ok(()));
    }

    #[test]
    fn a_branch_may_have_a_tensor_of_the_name_of_what_comes_after_its_node() {
        let branch = GraphBuilder::new().node("Neg", &["x"], &["z"]).output("z", &[]);
        let graph = x().node("If", &["x"], &["i"]).inner("then_branch", branch).node("Relu", &["i"], &["z"]);
        assert_eq!(checked(graph), Ok(()));
    }

    #[test]
    fn branches_are_graphs_like_any_other() {
        let with = |branch: GraphBuilder| checked(x().node("If", &["x"], &["y"]).inner("then_branch", branch));
        let twice = GraphBuilder::new().node("Neg", &["x"], &["i"]).node("Abs", &["x"], &["i"]).output("i", &[]);
        assert_eq!(with(twice).unwrap_err(), "tensor `i` is produced twice");
        let circle = GraphBuilder::new().node("Neg", &["b"], &["a"]).node("Abs", &["a"], &["b"]).output("a", &[]);
        assert!(with(circle).unwrap_err().ends_with("depends on its own output"));
    }

    #[test]
    fn names_of_inputs_and_of_nodes_are_distinct_within_a_graph() {
        assert_eq!(checked(x().input("x", &[1])).unwrap_err(), "two inputs have the name `x`");
        let named = |name: &str| {
            let mut graph = x().node("Relu", &["x"], &["a"]).node("Neg", &["a"], &["y"]).proto();
            graph.node.iter_mut().for_each(|node| node.name = Some(name.to_owned()));
            check(&Graph::new(graph).unwrap()).map_err(|error| error.to_string())
        };
        assert_eq!(named("n").unwrap_err(), "two nodes have the name `n`");
        assert_eq!(named(""), Ok(()), "a node need not have a name");
        let branch = GraphBuilder::new().node("Neg", &["x"], &["y"]).output("y", &[]);
        assert_eq!(checked(x().node("If", &["x"], &["y"]).inner("then_branch", branch)), Ok(()));
    }

    #[test]
    fn old_models_list_their_constants_among_the_inputs() {
        assert_eq!(checked(x().ints("x", &[1]).node("Relu", &["x"], &["y"])), Ok(()));
    }

    #[test]
    fn an_input_that_a_node_gives_too_is_refused() {
        let error = checked(x().input("y", &[1]).node("Relu", &["x"], &["y"])).unwrap_err();
        assert_eq!(error, "tensor `y` is produced twice");
    }

    #[test]
    fn the_order_of_the_nodes_is_free_and_circles_are_named() {
        assert_eq!(checked(x().node("Relu", &["a"], &["b"]).node("Neg", &["x"], &["a"])), Ok(()));
        let circle = x().node("Add", &["x", "c"], &["a"]).node("Relu", &["a"], &["c"]).node("Neg", &["c"], &["y"]);
        let error = checked(circle).unwrap_err();
        assert!(error == "node `a` (Add) depends on its own output" || error.starts_with("node `c` (Relu)"), "{error}");
        assert!(checked(x().node("Add", &["x", "y"], &["y"])).is_err());
    }

    #[test]
    fn a_branch_that_waits_for_its_own_node_is_a_circle() {
        let branch = GraphBuilder::new().node("Neg", &["y"], &["inner"]).output("inner", &[]);
        assert!(checked(x().node("If", &["x"], &["y"]).inner("then_branch", branch)).is_err());
    }
}
