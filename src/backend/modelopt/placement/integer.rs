//! Pairs for runtimes whose integer kernels take and give codes: onnxruntime and OpenVINO on a CPU.
//!
//! Such a kernel takes the place of an operator between the DequantizeLinear before each of its inputs and the QuantizeLinear
//! behind its output, which must be all that reads the output. So a pair stands right behind the node that gives a tensor, and
//! all its readers take the dequantized values, those too that compute in floats. A Relu or Clip that is the only reader
//! of such a node goes away, since its bounds are those of the codes: the pair stands behind it.
//!
//! Only tensors that an integer kernel gives are coded for all: where a float operator gives one, as a normalization does,
//! its other readers go on with floats.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    kernel::{Kernel, Kernels, kernel},
    operand::Operand,
    rules::{attention, product},
    site::QdqSite,
    vanishing::{behind, is_inner},
    view::View,
};
use crate::{
    backend::graph::inventory::Candidate,
    model::onnx::{NodeId, TensorId, Use, scalar},
    numeric::DType,
    spec::Reason,
};

/// Why a layer with this weight is better left in floats: what has no integer kernel is converted from codes and back.
pub(super) fn excluded(view: &View<'_>, kernels: Kernels, candidate: &Candidate, dtype: DType) -> Option<Reason> {
    let known = kernel(kernels, view.graph, candidate.node).is_some();
    (dtype == DType::Int8 && !known).then_some(Reason::NoIntegerKernel)
}

/// Depthwise convolutions between operators that compute in floats: converting to codes and back costs more than they take.
pub(super) fn alone(view: &View<'_>, kernels: Kernels, placed: &Placed) -> Vec<(usize, Reason)> {
    let graph = view.graph;
    let is_alone = |layer: &usize| {
        let Some(candidate) = view.candidate(*layer) else { return false };
        // What is before one of these converts to codes on the way.
        if kernel(kernels, graph, candidate.node) == Some(Kernel::FusedLayer) {
            return false;
        }
        let depthwise = graph.op(candidate.node) == Some("Conv") && candidate.shape.dims().get(1) == Some(&1);
        let before = graph.input(candidate.node, 0).is_some_and(|input| placed.given.contains(&input));
        let read = |one: &Use| view.with_quantized_inputs(one.node).is_some();
        let behind = behind(graph, candidate.node).is_some_and(|output| graph.uses(output).iter().any(read));
        depthwise && !before && !behind
    };
    view.quantized_layers().filter(is_alone).map(|layer| (layer, Reason::NeighbourNotQuantized)).collect()
}

/// Operators with a constant tensor that no layer computes in codes behind: as in a transformer, whose sums go on in floats.
pub(super) fn idle(view: &View<'_>, kernels: Kernels, placed: &Placed) -> Vec<(usize, Reason)> {
    let reaches_layers = |operand: &Operand| {
        let output = behind(view.graph, operand.at.node);
        output.is_some_and(|output| has_layers(view, kernels, &placed.given, output))
    };
    let idle = placed.operands.iter().filter(|operand| operand.is_tensor() && !reaches_layers(operand));
    idle.map(|operand| (operand.layer, Reason::ConstantOperand)).collect()
}

/// Where pairs stand.
pub(super) struct Placed {
    pub(super) sites: Vec<QdqSite>,
    /// Why layers without weights stay native.
    pub(super) native: Vec<(usize, Reason)>,
    /// Constant operands that are to be in codes.
    pub(super) operands: Vec<Operand>,
    /// The tensors that integer kernels give.
    given: BTreeSet<TensorId>,
}

/// Follows codes through the graph.
pub(super) fn place(view: &View<'_>, kernels: Kernels) -> Placed {
    let graph = view.graph;
    let mut codes = Codes { view, given: BTreeMap::new(), read: BTreeMap::new(), operands: Vec::new() };
    let (mut fused, mut around_zero) = (Vec::new(), Vec::new());
    let (mut native, mut seen) = (Vec::new(), BTreeSet::new());
    for node in graph.nodes() {
        let kernel = kernel(kernels, graph, node);
        let layer = view.with_quantized_inputs(node).filter(|&layer| view.activations(layer) == Some(DType::Int8));
        match (kernel, layer) {
            (Some(kernel), Some(layer)) if kernel.is_layers() && in_int8(view, layer) => {
                seen.insert(layer);
                codes.reads(node, 0, layer);
                if matches!(kernel, Kernel::Layer | Kernel::FusedLayer) {
                    codes.gives(node, layer, None);
                    fused.extend(behind(graph, node).filter(|_| kernel == Kernel::FusedLayer));
                } else if let Some(output) =
                    behind(graph, node).filter(|&output| has_layers(view, kernels, &BTreeSet::new(), output))
                {
                    codes.given.insert(output, (layer, None));
                }
            }
            (Some(Kernel::Joins), Some(layer)) => {
                seen.insert(layer);
                match codes.joins(node, layer) {
                    Ok(()) => {}
                    Err(reason) => native.push((layer, reason)),
                }
            }
            (Some(Kernel::Product), Some(layer)) if view.candidate(layer).is_none() => {
                seen.insert(layer);
                match codes.multiplies(node, layer) {
                    Ok(sites) => around_zero.extend(sites),
                    Err(reason) => native.push((layer, reason)),
                }
            }
            (Some(Kernel::Passes), _) => codes.passes(node),
            _ => {}
        }
    }
    fused.into_iter().for_each(|tensor| codes.withdraw_unread(tensor));
    let given = codes.given.keys().copied().collect();
    let operands = std::mem::take(&mut codes.operands);
    let mut sites = codes.sites();
    sites.extend(around_zero);
    // What has no integer kernel, or codes of another kind, has a pair before its input alone.
    for layer in view.quantized_layers().filter(|layer| !seen.contains(layer)) {
        if view.candidate(layer).is_some() {
            sites.extend(view.site(layer, 0));
        } else {
            native.push((layer, Reason::NoIntegerKernel));
        }
    }
    Placed { sites, native, operands, given }
}

/// Whether a layer has a weight that is to be int8: kernels of codes take no other.
fn in_int8(view: &View<'_>, layer: usize) -> bool {
    view.candidate(layer).is_some_and(Candidate::sums_fit)
        && view.plan(layer).is_some_and(|plan| plan.weights == Some(DType::Int8))
}

/// The tensors in codes so far.
struct Codes<'v> {
    view: &'v View<'v>,
    /// Tensors that are in codes for all readers: the layer that gives each, and the tensor whose scale it has if not its own.
    given: BTreeMap<TensorId, (usize, Option<TensorId>)>,
    /// Tensors that integer kernels read, with the layer of the first.
    read: BTreeMap<TensorId, (usize, Vec<Use>)>,
    /// Constant operands.
    operands: Vec<Operand>,
}

impl Codes<'_> {
    /// An integer kernel reads codes at an input.
    fn reads(&mut self, node: NodeId, input: usize, layer: usize) {
        let Some(tensor) = self.view.graph.input(node, input) else { return };
        self.read.entry(tensor).or_insert((layer, Vec::new())).1.push(Use { node, input });
    }

    /// A node gives codes to all readers, unless its output is one of the graph's.
    fn gives(&mut self, node: NodeId, layer: usize, scale_of: Option<TensorId>) {
        if let Some(output) = behind(self.view.graph, node) {
            self.given.insert(output, (layer, scale_of));
        }
    }

    /// An operator of several tensors computes in codes if all of them are in codes anyway and its output can be.
    fn joins(&mut self, node: NodeId, layer: usize) -> Result<(), Reason> {
        let graph = self.view.graph;
        let is_constant = |tensor| {
            graph.is_constant(tensor) || graph.producer(tensor).is_some_and(|n| graph.op(n) == Some("Constant"))
        };
        let (constants, inputs): (Vec<_>, Vec<_>) = graph.inputs_of(node).partition(|(_, tensor)| is_constant(*tensor));
        let takes = matches!(graph.op(node), Some("Add" | "Mul"));
        if inputs.is_empty() || !(takes || constants.is_empty()) {
            return Err(Reason::ConstantOperand);
        }
        if !inputs.iter().all(|(_, tensor)| self.given.contains_key(tensor)) {
            // A tensor is added or multiplied in floats, as the bias behind a product is, whatever is next to it.
            let numbers = constants.iter().all(|(_, tensor)| scalar(graph, *tensor).is_some());
            return Err(if numbers { Reason::NeighbourNotQuantized } else { Reason::ConstantOperand });
        }
        let operands = constants.iter().map(|&(input, tensor)| Operand::new(graph, layer, Use { node, input }, tensor));
        let operands: Vec<Operand> = operands.collect::<Option<_>>().ok_or(Reason::ConstantOperand)?;
        if behind(graph, node).is_none() {
            return Err(Reason::GivesAnOutput);
        }
        inputs.iter().for_each(|(input, _)| self.reads(node, *input, layer));
        self.operands.extend(operands);
        self.gives(node, layer, None);
        Ok(())
    }

    /// A product of an attention in codes around 0: a zero point costs more there than codes gain. What a Softmax gives has none
    /// anyway, since nothing of it is below 0.
    fn multiplies(&mut self, node: NodeId, layer: usize) -> Result<Vec<QdqSite>, Reason> {
        let graph = self.view.graph;
        if !attention::is_product(graph, node) {
            return Err(Reason::NoIntegerKernel);
        }
        let mut sites = Vec::new();
        for input in product::inputs(self.view, layer)? {
            let Some(tensor) = graph.input(node, input) else { continue };
            let giver = graph.producer(tensor).and_then(|giver| graph.op(giver));
            if graph.is_constant(tensor) || giver == Some("Constant") {
                return Err(Reason::ConstantOperand);
            }
            if giver == Some("Softmax") || self.given.contains_key(&tensor) {
                self.reads(node, input, layer);
            } else {
                sites.extend(self.view.site(layer, input));
            }
        }
        Ok(sites)
    }

    /// An operator that moves codes about.
    fn passes(&mut self, node: NodeId) {
        let graph = self.view.graph;
        let Some(input) = graph.input(node, 0) else { return };
        let Some((layer, scale_of)) = self.given.get(&input).copied() else { return };
        // Where one output is one of the graph's, the others are left alone too; and so are those that are no values, as the
        // indices of a MaxPool, whose kernel for codes gives none.
        let outputs: Vec<TensorId> = graph.outputs_of(node).collect();
        if outputs.len() > graph.facts(node).float_outputs {
            return;
        }
        if outputs.iter().all(|&output| is_inner(graph, output)) {
            for output in outputs {
                self.given.insert(output, (layer, Some(scale_of.unwrap_or(input))));
            }
        }
    }

    /// Leaves a tensor in floats that no integer kernel reads, as it is or moved about.
    fn withdraw_unread(&mut self, tensor: TensorId) {
        let graph = self.view.graph;
        let (mut moved, mut next) = (BTreeSet::new(), vec![tensor]);
        while let Some(tensor) = next.pop() {
            if self.given.contains_key(&tensor) && moved.insert(tensor) {
                let passing = graph.uses(tensor).iter().filter(|one| one.input == 0);
                let outputs = passing.flat_map(|one| graph.outputs_of(one.node));
                next.extend(outputs.filter(|output| matches!(self.given.get(output), Some((_, Some(_))))));
            }
        }
        if !moved.iter().any(|tensor| self.read.contains_key(tensor)) {
            self.given.retain(|tensor, _| !moved.contains(tensor));
        }
    }

    /// A pair for each tensor in codes.
    fn sites(self) -> Vec<QdqSite> {
        let Codes { view, given, mut read, .. } = self;
        let graph = view.graph;
        let mut sites = Vec::new();
        for (tensor, (giver, scale_of)) in given {
            let (layer, _) = read.remove(&tensor).unwrap_or((giver, Vec::new()));
            let scale_of = scale_of.map(|tensor| graph.name(tensor).to_owned());
            sites.extend(view.site_behind(layer, tensor, graph.uses(tensor).to_vec(), scale_of));
        }
        for (tensor, (layer, uses)) in read {
            sites.extend(view.site_behind(layer, tensor, uses, None));
        }
        sites
    }
}

/// Whether a layer with an integer kernel reads a tensor, as it is, moved about, or joined with others to one of `joined`.
fn has_layers(view: &View<'_>, kernels: Kernels, joined: &BTreeSet<TensorId>, tensor: TensorId) -> bool {
    let graph = view.graph;
    let (mut seen, mut next) = (BTreeSet::new(), vec![tensor]);
    while let Some(tensor) = next.pop() {
        if !seen.insert(tensor) {
            continue;
        }
        for one in graph.uses(tensor) {
            let layer = view.with_quantized_inputs(one.node);
            match kernel(kernels, graph, one.node) {
                Some(kernel)
                    if kernel.is_layers() && one.input == 0 && layer.is_some_and(|layer| in_int8(view, layer)) =>
                {
                    return true;
                }
                Some(Kernel::Passes) if one.input == 0 => next.extend(graph.outputs_of(one.node)),
                Some(Kernel::Joins) => next.extend(behind(graph, one.node).filter(|output| joined.contains(output))),
                _ => {}
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::super::testing::{attention, placed};
    use crate::{model::onnx::testing::GraphBuilder, spec::Reason};

    fn start() -> GraphBuilder {
        GraphBuilder::new().input("x", &[1, 4, 8, 8]).weight("w", &[4, 4, 1, 1]).floats("six", &[], &[6.0]).node(
            "Conv",
            &["x", "w"],
            &["a"],
        )
    }

    fn behind(graph: GraphBuilder) -> Vec<String> {
        placed("onnxruntime", graph, "int8").behind
    }

    #[test]
    fn a_residual_block_is_in_codes_from_end_to_end_and_its_relus_go_away() {
        let graph = start()
            .node("Relu", &["a"], &["relu"])
            .node("Conv", &["relu", "w"], &["b"])
            .node("Add", &["b", "relu"], &["add"])
            .node("Relu", &["add"], &["last"])
            .node("Conv", &["last", "w"], &["c"])
            .node("Softmax", &["c"], &["y"])
            .output("y", &[1, 4, 8, 8]);
        let expected = ["b -> add.0", "c -> y.0", "last -> c.0", "relu -> b.0 add.1", "x -> a.0"];
        assert_eq!(behind(graph), expected);
    }

    #[test]
    fn what_passes_codes_on_has_their_scale() {
        let indices = start().node("MaxPool", &["a"], &["pool", "at"]).node("Conv", &["pool", "w"], &["b"]);
        assert_eq!(behind(indices.node("Cast", &["at"], &["y"])), ["a -> pool.0", "pool -> b.0", "x -> a.0"]);
        let graph = start()
            .node("MaxPool", &["a"], &["pool"])
            .node("Flatten", &["pool"], &["flat"])
            .weight("g", &[64, 8])
            .node("Gemm", &["flat", "g"], &["y"])
            .output("y", &[1, 8]);
        assert_eq!(behind(graph), ["a -> pool.0", "flat -> y.0 as a", "pool -> flat.0 as a", "x -> a.0"]);
    }

    #[test]
    fn layers_that_may_give_floats_do_unless_another_layer_is_next() {
        let graph = GraphBuilder::new()
            .input("x", &[1, 8])
            .weight("g", &[8, 8])
            .node("LayerNormalization", &["x", "g"], &["norm"])
            .node("Gemm", &["norm", "g"], &["first"])
            .node("Relu", &["first"], &["relu"])
            .node("Gemm", &["relu", "g"], &["second"])
            .node("Add", &["second", "norm"], &["y"]);
        let found = placed("onnxruntime", graph, "int8");
        // The addition reads the normalization in floats, and so does nobody convert it back.
        assert_eq!(found.behind, ["norm -> first.0", "relu -> second.0"]);
        assert_eq!(found.reasons, [("y".to_owned(), Reason::NeighbourNotQuantized)]);
    }

    #[test]
    fn an_attention_computes_in_floats() {
        let found = placed("onnxruntime", attention(64, true), "int8");
        assert_eq!((found.behind, found.sites), (vec![], vec![]));
    }

    #[test]
    fn operators_of_several_tensors_need_codes_at_every_input_and_a_reader() {
        let reason = |graph: GraphBuilder, node: &str| {
            let found = placed("onnxruntime", graph, "int8").reasons;
            found.into_iter().find(|(name, _)| name == node).map(|(_, reason)| reason)
        };
        let number = start().node("Mul", &["a", "six"], &["m"]).node("Conv", &["m", "w"], &["y"]);
        assert_eq!(behind(number), ["a -> m.0", "m -> y.0", "x -> a.0"]);
        let joined = start().weight("v", &[1, 4, 8, 8]).node("Concat", &["a", "v"], &["m"]).int("axis", 1);
        assert_eq!(reason(joined.node("Conv", &["m", "w"], &["y"]), "m"), Some(Reason::ConstantOperand));
        let float =
            start().node("Erf", &["a"], &["e"]).node("Add", &["a", "e"], &["m"]).node("Conv", &["m", "w"], &["y"]);
        assert_eq!(reason(float, "m"), Some(Reason::NeighbourNotQuantized));
        let last = start().node("Add", &["a", "a"], &["y"]).output("y", &[1, 4, 8, 8]);
        assert_eq!(reason(last, "y"), Some(Reason::GivesAnOutput));
        let silu =
            start().node("Sigmoid", &["a"], &["s"]).node("Mul", &["a", "s"], &["m"]).node("Conv", &["m", "w"], &["y"]);
        assert_eq!(behind(silu), ["a -> s.0 m.0", "m -> y.0", "s -> m.1", "x -> a.0"]);
    }

    #[test]
    fn a_constant_tensor_between_layers_in_codes_has_codes_too() {
        let vector = || start().weight("v", &[4, 1, 1]).node("Mul", &["v", "a"], &["m"]);
        assert_eq!(behind(vector().node("Conv", &["m", "w"], &["y"])), ["a -> m.1", "m -> y.0", "x -> a.0"]);
        let chain = || vector().node("Add", &["m", "v"], &["n"]);
        let through = chain().node("Relu", &["n"], &["r"]).node("Add", &["r", "a"], &["s"]);
        let expected = ["a -> m.1 s.1", "m -> n.0", "r -> s.0", "s -> y.0", "x -> a.0"];
        assert_eq!(behind(through.node("Conv", &["s", "w"], &["y"])), expected);
    }

    #[test]
    fn a_constant_tensor_is_in_floats_where_codes_lose_too_much_or_no_layer_follows() {
        let constant = |name: &str| (name.to_owned(), Reason::ConstantOperand);
        let mut coarse = vec![0.4; 256];
        coarse[0] = 255.0;
        let coarse = start().floats("v", &[1, 4, 8, 8], &coarse).node("Add", &["a", "v"], &["m"]);
        let coarse = placed("onnxruntime", coarse.node("Conv", &["m", "w"], &["y"]), "int8");
        assert_eq!(coarse.reasons, [constant("m")]);
        // The positions that a vision transformer adds to its patches, in front of a residual sum.
        let positions = start()
            .weight("v", &[1, 4, 64])
            .ints("dims", &[1, 4, 64])
            .node("Reshape", &["a", "dims"], &["patches"])
            .node("Add", &["patches", "v"], &["placed"])
            .node("Mul", &["placed", "v"], &["scaled"])
            .node("LayerNormalization", &["scaled", "v"], &["norm"])
            .weight("g", &[64, 64])
            .node("MatMul", &["norm", "g"], &["linear"])
            .node("Add", &["linear", "v"], &["biased"])
            .node("Add", &["biased", "scaled"], &["y"]);
        let positions = placed("onnxruntime", positions, "int8");
        let mut native = ["biased", "placed", "scaled"].map(constant).to_vec();
        native.push(("y".to_owned(), Reason::NeighbourNotQuantized));
        let mut reasons = positions.reasons;
        reasons.sort();
        assert_eq!(reasons, native);
    }

    #[test]
    fn layers_without_an_integer_kernel_and_depthwise_ones_among_floats_stay() {
        let alone = GraphBuilder::new()
            .input("x", &[1, 4, 8, 8])
            .weight("w", &[4, 1, 3, 3])
            .node("Erf", &["x"], &["e"])
            .node("Conv", &["e", "w"], &["a"])
            .int("group", 4)
            .node("Erf", &["a"], &["y"]);
        let transposed = start().node("ConvTranspose", &["a", "w"], &["up"]).node("Erf", &["up"], &["y"]);
        assert_eq!(behind(alone), Vec::<String>::new());
        let found = placed("onnxruntime", transposed, "int8");
        assert_eq!((found.behind, found.sites.len()), (vec!["a -> up.0".to_owned(), "x -> a.0".to_owned()], 2));
    }
}
