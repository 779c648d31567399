//! Folding BatchNormalization into the Conv, ConvTranspose or Gemm before it, and where it is asked for what else multiplies its
//! channels by constants or adds constants to them: between a layer and its codes these would keep it from an integer kernel.
//!
//! `y = (x − mean) · factor + shift` on the output of a linear layer is a factor for each output channel and a new bias.
//! Computed in f64, rounded once.

use std::collections::BTreeSet;

use super::{
    affine::Affine,
    pass::{Pass, PassChanges, PassOptions},
    prune::prune,
};
use crate::{
    model::onnx::{
        Bytes, Graph, Model, NodeId, OnnxError, TensorId, constant, float_attribute, int_attribute, node_name,
        proto::{NodeProto, TensorProto},
    },
    numeric::FloatFormat,
    tensor::Channels,
};

pub(super) const PASS: Pass = Pass { name: "batch_norm", run };

fn run(model: &mut Model, options: &PassOptions, changes: &mut PassChanges) -> Result<(), OnnxError> {
    if options.fold_batch_norms {
        changes.batch_norms_folded = fold(model.graph_mut(), &["BatchNormalization"])?;
    }
    if options.fold_factors {
        changes.factors_folded = fold(model.graph_mut(), &FACTORS)?;
    }
    Ok(())
}

/// What may follow one another behind a layer.
const FACTORS: [&str; 4] = ["Mul", "Div", "Add", "Sub"];

/// Folds every node of these operators that alone reads the output of a linear layer with constant weights, and is a factor and
/// a shift of its channels, and the factors that follow it. The names of the nodes folded.
fn fold(graph: &mut Graph, ops: &[&str]) -> Result<Vec<String>, OnnxError> {
    let mut foldings = Vec::new();
    for norm in graph.nodes().filter(|node| graph.op(*node).is_some_and(|op| ops.contains(&op))) {
        for (_, input) in graph.inputs_of(norm).filter(|(at, input)| *at < 2 && graph.reads(*input) == 1) {
            let Some(linear) = graph.producer(input) else { continue };
            if let Some(folding) = Folding::new(graph, linear, norm, input)? {
                foldings.push(folding);
                break;
            }
        }
    }
    let folded: Vec<NodeId> = foldings.iter().flat_map(|folding| &folding.folded).copied().collect();
    let names = folded.iter().map(|node| node_name(graph.node(*node))).collect();
    let mut orphans = Vec::new();
    let mut layers = Vec::new();
    for folding in &foldings {
        let layer = node_name(graph.node(folding.linear));
        // Rules know a layer by the name of its weight.
        let own = graph.input(folding.linear, 1).filter(|own| graph.is_constant(*own) && graph.reads(*own) == 1);
        let weight = match own {
            Some(own) => graph.name(own).to_owned(),
            None => graph.claim(&format!("{layer}.folded_weight")),
        };
        let bias = graph.claim(&format!("{layer}.folded_bias"));
        // What the nodes hand on to one another goes with them.
        let handed_on: BTreeSet<TensorId> =
            [&folding.linear].into_iter().chain(&folding.folded).flat_map(|node| graph.outputs_of(*node)).collect();
        let read = folding.folded.iter().flat_map(|node| graph.inputs_of(*node)).map(|(_, tensor)| tensor);
        orphans.extend(read.filter(|tensor| !handed_on.contains(tensor)));
        let of_layer = graph.inputs_of(folding.linear).filter(|(at, tensor)| *at > 0 && Some(*tensor) != own);
        orphans.extend(of_layer.map(|(_, tensor)| tensor));
        let last = folding.folded.last().and_then(|node| graph.output(*node, 0));
        layers.push((folding, last.map(|output| graph.name(output).to_owned()), [weight, bias]));
    }
    graph.remove(&folded.into_iter().collect::<BTreeSet<_>>());
    for (folding, output, [weight, bias]) in layers {
        graph.add_initializer(folding.weight(&weight));
        graph.add_initializer(folding.bias(&bias));
        graph.update(folding.linear, |node| {
            node.input.truncate(1);
            node.input.extend([weight, bias]);
            node.output = output.into_iter().collect();
        });
    }
    prune(graph, orphans);
    Ok(names)
}

/// A layer with its BatchNormalization in it, or with its factors.
struct Folding {
    linear: NodeId,
    folded: Vec<NodeId>,
    format: FloatFormat,
    dims: Vec<i64>,
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl Folding {
    /// `None` if the two nodes are not of the form that can be folded. `output` is what one gives and the other reads.
    fn new(graph: &Graph, linear: NodeId, norm: NodeId, output: TensorId) -> Result<Option<Self>, OnnxError> {
        let floats = |node: NodeId, input: usize| match graph.input(node, input) {
            Some(tensor) => constant(graph, tensor),
            None => Ok(None),
        };
        let Some(weight) = floats(linear, 1)? else { return Ok(None) };
        let layer = graph.node(linear);
        let groups = int_attribute(layer, "group").unwrap_or(1);
        let foldable = match graph.op(linear) {
            Some("Conv") => true,
            // The channels of a group share an axis with those of the others.
            Some("ConvTranspose") => groups == 1,
            Some("Gemm") => scales_nothing(layer),
            _ => false,
        };
        let facts = graph.facts(linear).weight.filter(|_| foldable);
        let Some(axis) = facts.and_then(|facts| (facts.output_axis)(layer, weight.shape.rank())) else {
            return Ok(None);
        };
        let Some(across) = Channels::along(&weight.shape, axis) else { return Ok(None) };
        let values = |node: NodeId, input: usize| -> Result<Option<Vec<f32>>, OnnxError> {
            let found = floats(node, input)?.filter(|c| c.shape.elements() == across.channels && c.shape.rank() == 1);
            Ok(found.and_then(|c| Some(c.format.decode(c.view()?.bytes()))))
        };
        let bias = match graph.input(linear, 2) {
            None => vec![0.0; across.channels],
            Some(_) => match values(linear, 2)? {
                Some(bias) => bias,
                None => return Ok(None),
            },
        };
        let mut bias: Vec<f64> = bias.into_iter().map(f64::from).collect();
        let (mut factors, mut folded) = (vec![1.0; across.channels], Vec::new());
        let mut next = Some((norm, output));
        while let Some((node, x)) = next {
            let is_factor = graph.op(node).is_some_and(|op| FACTORS.contains(&op));
            let affine = match is_factor {
                true => Affine::of_constant(graph, node, x, weight.shape.rank(), across.channels)?,
                false if folded.is_empty() => Affine::of_batch_norm(graph, node, across.channels)?,
                false => None,
            };
            let Some(affine) = affine else { break };
            affine.apply(&mut factors, &mut bias);
            folded.push(node);
            next = is_factor.then(|| only_reader(graph, node)).flatten();
        }
        if folded.is_empty() {
            return Ok(None);
        }
        let bias: Vec<f32> = bias.into_iter().map(|bias| bias as f32).collect();
        let Some(view) = weight.view() else { return Ok(None) };
        let mut values = weight.format.decode(view.bytes());
        // Row-major: `inner` values of a channel, then those of the next; `outer` times.
        let factors = factors.iter().flat_map(|factor| std::iter::repeat_n(factor, across.inner)).cycle();
        for (value, factor) in values.iter_mut().zip(factors) {
            *value = (f64::from(*value) * factor) as f32;
        }
        if !values.iter().chain(&bias).all(|x| x.is_finite()) {
            return Ok(None);
        }
        let dims = weight.shape.dims().iter().map(|&d| d as i64).collect();
        Ok(Some(Folding { linear, folded, format: weight.format, dims, weight: values, bias }))
    }

    fn weight(&self, name: &str) -> TensorProto {
        self.tensor(name, self.dims.clone(), &self.weight)
    }

    fn bias(&self, name: &str) -> TensorProto {
        self.tensor(name, vec![self.bias.len() as i64], &self.bias)
    }

    fn tensor(&self, name: &str, dims: Vec<i64>, values: &[f32]) -> TensorProto {
        let bytes: Vec<u8> = values.iter().flat_map(|&x| self.format.encode(x)).collect();
        TensorProto {
            name: Some(name.to_owned()),
            dims,
            data_type: Some(self.format.onnx()),
            raw_data: Some(Bytes::from(bytes)),
            ..Default::default()
        }
    }
}

/// The one node that reads what a node gives, and what that is.
fn only_reader(graph: &Graph, node: NodeId) -> Option<(NodeId, TensorId)> {
    let output = graph.output(node, 0)?;
    let [only] = graph.uses(output) else { return None };
    (graph.reads(output) == 1).then_some((only.node, output))
}

/// Whether a Gemm multiplies neither product nor bias by a factor, and takes its input as it is.
fn scales_nothing(gemm: &NodeProto) -> bool {
    ["alpha", "beta"].iter().all(|name| float_attribute(gemm, name).is_none_or(|factor| factor == 1.0))
        && int_attribute(gemm, "transA").unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::onnx::testing::{GraphBuilder, constants, lines};

    /// The four constants of a normalization of two channels: factors 2 and 3, means 1 and 0, shifts 0 and 5.
    fn statistics() -> GraphBuilder {
        GraphBuilder::new()
            .input("x", &[1, 2, 4, 4])
            .floats("gamma", &[2], &[2.0, 3.0])
            .floats("beta", &[2], &[0.0, 5.0])
            .floats("mean", &[2], &[1.0, 0.0])
            .floats("var", &[2], &[1.0, 1.0])
    }

    const NORM: [&str; 5] = ["c", "gamma", "beta", "mean", "var"];

    fn conv() -> GraphBuilder {
        statistics().floats("w", &[2, 2, 1, 1], &[1.0, 2.0, 3.0, 4.0]).node("Conv", &["x", "w"], &["c"])
    }

    fn norm(builder: GraphBuilder) -> GraphBuilder {
        builder.node("BatchNormalization", &NORM, &["y"]).float("epsilon", 0.0).output("y", &[])
    }

    fn values(graph: &Graph, name: &str) -> Vec<f32> {
        let tensor = graph.tensor(name).unwrap();
        let constant = constant(graph, tensor).unwrap().unwrap();
        constant.format.decode(constant.view().unwrap().bytes())
    }

    #[test]
    fn factors_go_into_the_weight_and_shifts_into_a_bias() {
        let mut graph = norm(conv()).build();
        assert_eq!(fold(&mut graph, &["BatchNormalization"]).unwrap(), ["y"]);
        assert_eq!(lines(&graph), ["Conv(x, w, c.folded_bias) -> y"]);
        assert_eq!(values(&graph, "w"), [2.0, 4.0, 9.0, 12.0]);
        assert_eq!(values(&graph, "c.folded_bias"), [-2.0, 5.0]);
        assert_eq!(constants(&graph), ["w", "c.folded_bias"]);
    }

    #[test]
    fn a_weight_that_another_layer_reads_has_a_copy() {
        let mut graph = norm(conv()).node("Conv", &["x", "w"], &["z"]).output("z", &[]).build();
        fold(&mut graph, &["BatchNormalization"]).unwrap();
        assert_eq!(lines(&graph), ["Conv(x, c.folded_weight, c.folded_bias) -> y", "Conv(x, w) -> z"]);
        assert_eq!(values(&graph, "w"), [1.0, 2.0, 3.0, 4.0]);
    }

    #[test]
    fn a_bias_is_normalized_too() {
        let layer = statistics().weight("w", &[2, 2]).floats("b", &[2], &[1.0, 1.0]);
        let mut graph = norm(layer.node("Gemm", &["x", "w", "b"], &["c"]).int("transB", 1)).build();
        fold(&mut graph, &["BatchNormalization"]).unwrap();
        assert_eq!(values(&graph, "c.folded_bias"), [0.0, 8.0]);
        assert_eq!(values(&graph, "w"), [0.0, 2.0, 6.0, 9.0]);
    }

    #[test]
    fn the_other_spelling_of_the_domain_is_folded_too() {
        let mut graph = norm(conv().domain("ai.onnx")).domain("ai.onnx").build();
        assert_eq!(fold(&mut graph, &["BatchNormalization"]).unwrap(), ["y"]);
    }

    #[test]
    fn what_cannot_be_folded_stays() {
        let weight = || statistics().weight("w", &[2, 2, 1, 1]);
        let cases = [
            ("a second reader", norm(conv()).node("Relu", &["c"], &["r"])),
            ("training", norm(conv()).int("training_mode", 1)),
            ("a computed weight", norm(statistics().input("w", &[2, 2, 1, 1]).node("Conv", &["x", "w"], &["c"]))),
            ("no layer", norm(statistics().node("Relu", &["x"], &["c"]))),
            ("groups across channels", norm(weight().node("ConvTranspose", &["x", "w"], &["c"]).int("group", 2))),
            ("a factor", norm(statistics().weight("w", &[2, 2]).node("Gemm", &["x", "w"], &["c"]).float("alpha", 2.0))),
            ("another domain", norm(conv()).domain("com.example")),
            ("infinite", norm(statistics().floats("w", &[2, 1, 1], &[3e38; 2]).node("Conv", &["x", "w"], &["c"]))),
        ];
        for (what, builder) in cases {
            let mut graph = builder.build();
            let before = lines(&graph);
            assert_eq!(fold(&mut graph, &["BatchNormalization"]).unwrap(), Vec::<String>::new(), "{what}");
            assert_eq!(lines(&graph), before, "{what}");
        }
    }

    #[test]
    fn a_normalization_without_outputs_is_left_alone() {
        let mut graph = conv().node("BatchNormalization", &NORM, &[]).build();
        assert!(fold(&mut graph, &["BatchNormalization"]).unwrap().is_empty());
    }

    #[test]
    fn factors_and_shifts_of_channels_become_part_of_the_layer_one_after_the_other() {
        let graph =
            conv().floats("two", &[], &[2.0]).floats("each", &[2, 1, 1], &[1.0, -1.0]).floats("four", &[1], &[4.0]);
        let graph = graph.node("Mul", &["two", "c"], &["m"]).node("Sub", &["m", "each"], &["s"]);
        let graph = graph.node("Div", &["s", "four"], &["d"]).node("Add", &["d", "each"], &["y"]).output("y", &[]);
        let mut model = graph.model(13);
        let mut changes = PassChanges::default();
        run(&mut model, &PassOptions { fold_factors: true, ..PassOptions::default() }, &mut changes).unwrap();
        assert_eq!(changes.factors_folded, ["m", "s", "d", "y"]);
        let graph = model.graph();
        assert_eq!(lines(graph).len(), 1, "{:?}", lines(graph));
        let node = graph.node(graph.node_at(0).unwrap());
        assert_eq!(values(graph, &node.input[1]), [0.5, 1.0, 1.5, 2.0]);
        assert_eq!(values(graph, &node.input[2]), [0.75, -0.75]);
    }

    #[test]
    fn what_is_no_factor_of_channels_stays() {
        let constants = || conv().floats("wide", &[4], &[1.0; 4]).floats("two", &[], &[2.0]);
        for (what, graph) in [
            ("along another axis", constants().node("Mul", &["c", "wide"], &["y"])),
            ("what is subtracted from", constants().node("Sub", &["two", "c"], &["y"])),
            ("what is divided", constants().node("Div", &["two", "c"], &["y"])),
            ("a square", constants().node("Mul", &["c", "c"], &["y"])),
            ("another reader", constants().node("Mul", &["c", "two"], &["y"]).node("Relu", &["c"], &["r"])),
            ("an output", constants().output("c", &[]).node("Mul", &["c", "two"], &["y"])),
        ] {
            let mut graph = graph.build();
            let before = lines(&graph);
            assert_eq!(fold(&mut graph, &["Mul", "Sub", "Div"]).unwrap(), Vec::<String>::new(), "{what}");
            assert_eq!(lines(&graph), before, "{what}");
        }
    }
}
