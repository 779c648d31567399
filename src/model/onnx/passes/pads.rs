//! Folding a Pad into the convolutions that read it.
//!
//! Exporters of TensorFlow models pad outside of the convolution where "same" is not the same on both sides. A convolution
//! pads with zeros by itself; a node between it and its codes keeps it from an integer kernel.

use std::collections::BTreeSet;

use super::{
    pass::{Pass, PassChanges, PassOptions},
    prune::prune,
};
use crate::model::onnx::{
    Graph, Model, NodeId, OnnxError, TensorId, Use, attribute, attribute_ints, constants::integers, ints_attribute,
    node::axis_from_front, node_name, scalar,
};

pub(super) const PASS: Pass = Pass { name: "pads", run };

fn run(model: &mut Model, options: &PassOptions, changes: &mut PassChanges) -> Result<(), OnnxError> {
    if options.fold_pads {
        changes.pads_folded = fold_pads(model.graph_mut());
    }
    Ok(())
}

/// Folds every Pad of zeros whose readers are convolutions alone. The names of the nodes folded.
fn fold_pads(graph: &mut Graph) -> Vec<String> {
    let (mut folded, mut orphans) = (BTreeSet::new(), Vec::new());
    for pad in graph.nodes().filter(|pad| graph.op(*pad) == Some("Pad")).collect::<Vec<_>>() {
        let Some(folding) = Folding::new(graph, pad) else { continue };
        orphans.extend(graph.inputs_of(pad).filter(|(at, _)| *at > 0).map(|(_, tensor)| tensor));
        folding.apply(graph);
        folded.insert(pad);
    }
    let names = folded.iter().map(|pad| node_name(graph.node(*pad))).collect();
    graph.remove(&folded);
    prune(graph, orphans);
    names
}

/// A Pad that can go.
struct Folding {
    input: TensorId,
    /// What reads it, each with its pads then: the starts of all spatial axes, then the ends.
    convolutions: Vec<(Use, Vec<i64>)>,
}

impl Folding {
    fn new(graph: &Graph, pad: NodeId) -> Option<Self> {
        let (input, output) = (graph.input(pad, 0)?, graph.output(pad, 0)?);
        let mode = attribute(graph.node(pad), "mode").and_then(|mode| mode.s.as_deref());
        let plain = mode.is_none_or(|mode| mode == b"constant");
        let zero = graph.input(pad, 2).is_none_or(|value| scalar(graph, value) == Some(0.0));
        let uses = graph.uses(output);
        if !plain || !zero || uses.is_empty() || graph.reads(output) != uses.len() {
            return None;
        }
        let folded = uses.iter().map(|one| Some((*one, pads(graph, pad, *one)?))).collect::<Option<Vec<_>>>();
        Some(Folding { input, convolutions: folded? })
    }

    fn apply(self, graph: &mut Graph) {
        let input = graph.name(self.input).to_owned();
        for (one, pads) in self.convolutions {
            graph.set_input(one, &input);
            graph.update(one.node, |node| {
                node.attribute.retain(|attribute| !matches!(attribute.name.as_deref(), Some("pads" | "auto_pad")));
                node.attribute.push(attribute_ints("pads", pads));
            });
        }
    }
}

/// The pads of a convolution with those of the Pad before it. `None` of another reader, and where the Pad is not constant,
/// adds to another axis than the spatial ones, or cuts something off.
fn pads(graph: &Graph, pad: NodeId, at: Use) -> Option<Vec<i64>> {
    let node = graph.node(at.node);
    let auto = attribute(node, "auto_pad").and_then(|auto| auto.s.as_deref());
    let explicit = auto.is_none_or(|auto| auto == b"NOTSET" || auto == b"VALID");
    if graph.op(at.node) != Some("Conv") || at.input != 0 || !explicit {
        return None;
    }
    let rank = graph.initializer(graph.input(at.node, 1)?)?.dims.len();
    let spatial = rank.checked_sub(2)?;
    let mut pads = ints_attribute(node, "pads").map_or_else(|| vec![0; 2 * spatial], <[i64]>::to_vec);
    let added = constant(graph, pad, 1)?;
    let axes = match graph.input(pad, 3) {
        Some(_) => constant(graph, pad, 3)?,
        None => (0..rank as i64).collect(),
    };
    if pads.len() != 2 * spatial || added.len() != 2 * axes.len() || added.iter().any(|count| *count < 0) {
        return None;
    }
    // Starts of all axes come first, then ends.
    for (half, added) in added.chunks_exact(axes.len().max(1)).enumerate() {
        for (axis, count) in axes.iter().zip(added) {
            let axis = axis_from_front(*axis, rank)?;
            match axis.checked_sub(2).filter(|axis| *axis < spatial) {
                Some(axis) => {
                    let sum = pads.get_mut(half * spatial + axis)?;
                    *sum = sum.checked_add(*count)?;
                }
                None if *count == 0 => {}
                None => return None,
            }
        }
    }
    Some(pads)
}

fn constant(graph: &Graph, node: NodeId, input: usize) -> Option<Vec<i64>> {
    integers(graph.initializer(graph.input(node, input)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::onnx::testing::{GraphBuilder, constants, lines};

    fn start(pads: &[i64]) -> GraphBuilder {
        let x = GraphBuilder::new().input("x", &[1, 2, 4, 4]).ints("p", pads).floats("zero", &[], &[0.0]);
        x.floats("one", &[], &[1.0]).ints("axes", &[-1]).weight("w", &[2, 2, 3, 3])
    }

    fn conv(builder: GraphBuilder) -> GraphBuilder {
        builder.node("Conv", &["a", "w"], &["y"]).int_list("pads", &[0, 1, 0, 0]).output("y", &[])
    }

    #[test]
    fn pads_of_both_sides_become_the_convolutions() {
        let mut graph = conv(start(&[0, 0, 0, 1, 0, 0, 2, 3]).node("Pad", &["x", "p", "zero"], &["a"])).build();
        assert_eq!(fold_pads(&mut graph), ["a"]);
        assert_eq!((lines(&graph), constants(&graph)), (vec!["Conv(x, w) -> y".to_owned()], vec!["one", "axes", "w"]));
        let node = graph.node(graph.node_at(0).unwrap());
        assert_eq!(ints_attribute(node, "pads"), Some(&[0, 2, 2, 3][..]));
    }

    #[test]
    fn axes_say_what_is_padded_and_every_reader_takes_its_share() {
        let padded = start(&[1, 2]).node("Pad", &["x", "p", "", "axes"], &["a"]);
        let second = conv(padded).node("Conv", &["a", "w"], &["z"]).text("auto_pad", "VALID").output("z", &[]);
        let mut graph = second.build();
        assert_eq!(fold_pads(&mut graph), ["a"]);
        let pads: Vec<_> =
            graph.nodes().map(|node| ints_attribute(graph.node(node), "pads").unwrap().to_vec()).collect();
        assert_eq!(pads, [[0, 2, 0, 2], [0, 1, 0, 2]]);
    }

    #[test]
    fn what_a_convolution_cannot_do_stays_a_pad() {
        let spatial = [0, 0, 1, 1, 0, 0, 1, 1];
        let pad = |pads: &[i64]| start(pads).node("Pad", &["x", "p"], &["a"]);
        let cases = [
            ("a value", conv(start(&spatial).node("Pad", &["x", "p", "one"], &["a"]))),
            ("reflection", conv(pad(&spatial).text("mode", "reflect"))),
            ("channels", conv(pad(&[0, 1, 0, 0, 0, 0, 0, 0]))),
            ("cropping", conv(pad(&[0, 0, -1, 0, 0, 0, 0, 0]))),
            ("another reader", conv(pad(&spatial)).node("Relu", &["a"], &["r"])),
            ("an output", conv(pad(&spatial)).output("a", &[])),
            ("pads by size", conv(pad(&spatial)).node("Conv", &["a", "w"], &["z"]).text("auto_pad", "SAME_UPPER")),
            ("lengths that differ", conv(pad(&[1, 1]))),
            ("a filter", start(&spatial).node("Pad", &["x", "p"], &["a"]).node("Conv", &["x", "a"], &["y"])),
        ];
        for (what, builder) in cases {
            let mut graph = builder.build();
            let before = lines(&graph);
            assert_eq!(fold_pads(&mut graph), Vec::<String>::new(), "{what}");
            assert_eq!(lines(&graph), before, "{what}");
        }
    }
}
