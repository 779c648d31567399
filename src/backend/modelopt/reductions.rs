//! Reductions as OpenVINO computes them rightly: it fuses the quantization behind one into it, and what is multiplied per channel
//! before it too, and takes the wrong axis for these numbers where the reduction removes one. So the reduction keeps its axes, and
//! a Squeeze removes them.

use std::collections::BTreeSet;

use super::placement::QdqSite;
use crate::{
    model::onnx::{Graph, NodeId, attribute_int, int_attribute, ints_attribute, new_node},
    numeric::FloatFormat,
};

/// Has reductions keep their axes. Where there are no pairs, nothing is fused and all stays as it is.
pub(super) fn keep_dims(graph: &mut Graph, sites: &[QdqSite]) {
    if sites.is_empty() {
        return;
    }
    let coded: BTreeSet<&str> = sites.iter().map(|site| site.tensor.as_str()).collect();
    let types = graph.carried_types();
    let is_integer = |name: &str| types.get(name).is_some_and(|&element| FloatFormat::from_onnx(element).is_none());
    let swapped: Vec<Reduction> = graph
        .nodes()
        .filter_map(|node| Reduction::new(graph, node))
        .filter(|found| !is_integer(&found.output) && found.is_fused_wrongly(&coded))
        .collect();
    swapped.iter().for_each(|reduction| reduction.swap(graph));
}

/// A reduction of a tensor.
struct Reduction {
    node: NodeId,
    output: String,
    keeps: bool,
    is_least: bool,
    axes: Axes,
}

/// Which axes are reduced.
enum Axes {
    All,
    Listed(Vec<i64>),
    Given(String),
}

impl Reduction {
    fn new(graph: &Graph, node: NodeId) -> Option<Self> {
        let op = graph.op(node).filter(|op| op.starts_with("Reduce"))?;
        let proto = graph.node(node);
        let axes = match (graph.input(node, 1), ints_attribute(proto, "axes")) {
            // No axes are all of them; how many a computed list has, the run says.
            (Some(axes), _) => match graph.initializer(axes).map(|axes| axes.dims.contains(&0)) {
                Some(true) => Axes::All,
                Some(false) => Axes::Given(graph.name(axes).to_owned()),
                None => return None,
            },
            (None, Some(axes)) => Axes::Listed(axes.to_vec()),
            (None, None) => Axes::All,
        };
        let output = graph.name(graph.output(node, 0)?).to_owned();
        let keeps = int_attribute(proto, "keepdims") != Some(0);
        // With it, no axes may mean all or none.
        let unsure = int_attribute(proto, "noop_with_empty_axes").is_some_and(|noop| noop != 0);
        (!unsure).then_some(Reduction { node, output, keeps, is_least: op == "ReduceMin", axes })
    }

    /// Whether OpenVINO computes it otherwise than the graph says: one that removes its axes, and a ReduceMin with a
    /// quantization right behind it, which is right only where another node changes the shape in between.
    fn is_fused_wrongly(&self, coded: &BTreeSet<&str>) -> bool {
        match (self.is_least, self.keeps) {
            (true, true) => coded.contains(self.output.as_str()) && !matches!(self.axes, Axes::All),
            (true, false) => coded.contains(self.output.as_str()),
            (false, keeps) => !keeps,
        }
    }

    /// Keeps the axes in place of removing them, or the other way, with the opposite behind. The tensor has its name and shape.
    fn swap(&self, graph: &mut Graph) {
        let (op, suffix) = if self.keeps { ("Unsqueeze", "reduced") } else { ("Squeeze", "kept") };
        let between = graph.claim(&format!("{}.{suffix}", self.output));
        graph.update(self.node, |node| {
            node.output = vec![between.clone()];
            node.attribute.retain(|attribute| attribute.name.as_deref() != Some("keepdims"));
            node.attribute.push(attribute_int("keepdims", i64::from(!self.keeps)));
        });
        let axes = match &self.axes {
            Axes::All => None,
            Axes::Listed(axes) => Some(graph.add_ints(&format!("{}.axes", self.output), axes)),
            Axes::Given(axes) => Some(axes.clone()),
        };
        let inputs = std::iter::once(between).chain(axes).collect();
        graph.insert(graph.position(self.node) + 1, vec![new_node(op, "", inputs, &self.output)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        backend::modelopt::placement::SiteKind,
        model::onnx::{
            Use, int_attribute,
            testing::{GraphBuilder, lines},
        },
        numeric::DType,
    };

    fn kept(op: &str, keepdims: i64, axes: &[i64], coded: &str) -> (Vec<String>, Option<i64>) {
        let graph = GraphBuilder::new().input("x", &[1, 4, 8]).weight("g", &[8, 8]);
        let graph = graph.node(op, &["x"], &["mean"]).int("keepdims", keepdims).int_list("axes", axes);
        let mut graph = graph.node("Relu", &["mean"], &["relu"]).node("Gemm", &["relu", "g"], &["y"]).build();
        let uses = vec![Use { node: graph.node_at(1).unwrap(), input: 0 }];
        let kind = SiteKind::Behind { asymmetric: true, scale_of: None };
        let (format, dtype) = (FloatFormat::F32, DType::Int8);
        let site = QdqSite { layer: 0, uses, tensor: coded.to_owned(), format, dtype, kind };
        keep_dims(&mut graph, if coded.is_empty() { &[] } else { std::slice::from_ref(&site) });
        let keepdims = int_attribute(graph.node(graph.node_at(0).unwrap()), "keepdims");
        (lines(&graph), keepdims)
    }

    #[test]
    fn a_reduction_keeps_its_axes_and_a_squeeze_removes_them() {
        let rest = ["Relu(mean) -> relu", "Gemm(relu, g) -> y"];
        let (squeezed, keepdims) = kept("ReduceMean", 0, &[1], "relu");
        assert_eq!(squeezed[..2], ["ReduceMean(x) -> mean.kept", "Squeeze(mean.kept, mean.axes) -> mean"]);
        assert_eq!((&squeezed[2..], keepdims), (&rest.map(str::to_owned)[..], Some(1)));
        assert_eq!(kept("ReduceMean", 0, &[1], "").0[0], "ReduceMean(x) -> mean", "nothing is quantized");
        assert_eq!(kept("ReduceMean", 1, &[1], "mean").0[0], "ReduceMean(x) -> mean");
    }

    #[test]
    fn the_least_of_an_axis_has_another_shape_where_it_is_quantized() {
        assert_eq!(kept("ReduceMin", 0, &[1], "mean").0[1], "Squeeze(mean.kept, mean.axes) -> mean");
        let (unsqueezed, keepdims) = kept("ReduceMin", 1, &[1], "mean");
        assert_eq!((unsqueezed[1].as_str(), keepdims), ("Unsqueeze(mean.reduced, mean.axes) -> mean", Some(0)));
        assert_eq!(kept("ReduceMin", 0, &[1], "relu").0[0], "ReduceMin(x) -> mean");
    }

    #[test]
    fn axes_that_are_an_input_or_all_stay_so() {
        let start = || GraphBuilder::new().input("x", &[1, 4, 8]).ints("at", &[1]);
        let reduce = |graph: GraphBuilder, noop: i64| {
            let mut graph = graph.int("keepdims", 0).int("noop_with_empty_axes", noop).build();
            let uses = vec![];
            let kind = SiteKind::Input;
            let (format, dtype) = (FloatFormat::F32, DType::Int8);
            keep_dims(&mut graph, &[QdqSite { layer: 0, uses, tensor: "x".to_owned(), format, dtype, kind }]);
            lines(&graph).last().cloned().unwrap()
        };
        assert_eq!(reduce(start().node("ReduceSum", &["x", "at"], &["y"]), 0), "Squeeze(y.kept, at) -> y");
        assert_eq!(reduce(start().node("ReduceSum", &["x"], &["y"]), 0), "Squeeze(y.kept) -> y");
        assert_eq!(reduce(start().ints("no", &[]).node("ReduceSum", &["x", "no"], &["y"]), 0), "Squeeze(y.kept) -> y");
        assert_eq!(reduce(start().node("ReduceSum", &["x", "computed"], &["y"]), 0), "ReduceSum(x, computed) -> y");
        assert_eq!(reduce(start().node("ReduceSum", &["x"], &["y"]), 1), "ReduceSum(x) -> y");
    }
}
