//! [`Lengths`]: how long the axes of a graph's tensors are, in numbers or as the axes of other tensors.
//!
//! Two axes that the graph alone says are as long as each other have the same [`Length`], whatever the model is run on. Names of
//! dimensions count for nothing here: no runtime holds a model to them.

use std::collections::BTreeMap;

use super::{
    Graph, NodeId, TensorId, constants::integers, dimensions, int_attribute, ints_attribute, node::axis_from_front,
    proto::data_type,
};

/// How long an axis is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Length {
    /// So many elements.
    Known(i64),
    /// As long as this axis of this tensor, the first of that length.
    Axis(TensorId, usize),
}

impl Length {
    /// How many elements that is, if it is a number.
    pub fn number(self) -> Option<i64> {
        if let Length::Known(number) = self { Some(number) } else { None }
    }
}

/// The lengths of the axes of a graph's tensors, of those whose rank follows from the graph.
#[derive(Debug, Default)]
pub struct Lengths {
    dims: BTreeMap<TensorId, Vec<Length>>,
    values: BTreeMap<TensorId, Values>,
}

/// What a tensor of integers is that says how long something is.
#[derive(Clone, Debug)]
struct Values {
    lengths: Vec<Length>,
    /// Whether it has an axis; a single number has none.
    is_list: bool,
}

impl Lengths {
    /// Follows the lengths from the inputs and constants through the nodes.
    pub fn of(graph: &Graph) -> Self {
        let mut lengths = Lengths::default();
        for info in graph.inputs() {
            let Some(tensor) = info.name.as_ref().and_then(|name| graph.tensor(name)) else { continue };
            let Some(stated) = dimensions(info) else { continue };
            let length = |(axis, dim): (usize, &Option<i64>)| dim.map_or(Length::Axis(tensor, axis), Length::Known);
            lengths.dims.insert(tensor, stated.iter().enumerate().map(length).collect());
        }
        for proto in graph.initializers() {
            let Some(tensor) = proto.name.as_ref().and_then(|name| graph.tensor(name)) else { continue };
            lengths.dims.insert(tensor, proto.dims.iter().map(|&dim| Length::Known(dim)).collect());
            let few = proto.dims.len() <= 1 && proto.data_type == Some(data_type::INT64);
            if let Some(values) = integers(proto).filter(|values| few && values.len() <= MOST_AXES) {
                let values = values.into_iter().map(Length::Known).collect();
                lengths.values.insert(tensor, Values { lengths: values, is_list: proto.dims.len() == 1 });
            }
        }
        for node in graph.nodes() {
            let Some(output) = graph.output(node, 0) else { continue };
            let node = Node { graph, node, output, lengths: &lengths };
            let (dims, values) = (node.dims().or_else(|| node.stated()), node.values());
            // A Gather's rank is that of both its inputs, so that a few dozen of them could ask for all memory.
            lengths.dims.extend(dims.filter(|dims| dims.len() <= MOST_AXES).map(|dims| (output, dims)));
            lengths.values.extend(values.map(|values| (output, values)));
        }
        lengths
    }

    /// The lengths of a tensor's axes; `None` where not even its rank is known.
    pub fn dims(&self, tensor: TensorId) -> Option<&[Length]> {
        self.dims.get(&tensor).map(Vec::as_slice)
    }

    /// The lengths that a list of integers has for values, `Known` ones being those numbers themselves.
    pub fn values(&self, tensor: TensorId) -> Option<&[Length]> {
        self.values.get(&tensor).filter(|values| values.is_list).map(|values| values.lengths.as_slice())
    }
}

/// More axes than any tensor has.
const MOST_AXES: usize = 32;

/// A node whose inputs are known as far as they will be.
struct Node<'a> {
    graph: &'a Graph,
    node: NodeId,
    output: TensorId,
    lengths: &'a Lengths,
}

impl Node<'_> {
    fn input(&self, at: usize) -> Option<&[Length]> {
        self.lengths.dims(self.graph.input(self.node, at)?)
    }

    fn value(&self, at: usize) -> Option<&Values> {
        self.lengths.values.get(&self.graph.input(self.node, at)?)
    }

    /// The values of an input that is a list.
    fn list(&self, at: usize) -> Option<&[Length]> {
        self.lengths.values(self.graph.input(self.node, at)?)
    }

    /// The numbers that an input is, if it is all numbers.
    fn numbers(&self, at: usize) -> Option<Vec<i64>> {
        self.value(at)?.lengths.iter().map(|length| length.number()).collect()
    }

    /// The axes that a node names, in its input or, of older operators, in its attribute; `None` where it names none, which may
    /// mean all of them.
    fn axes(&self) -> Option<Vec<i64>> {
        let of_attribute = || ints_attribute(self.graph.node(self.node), "axes").map(<[i64]>::to_vec);
        self.numbers(1).or_else(of_attribute).filter(|axes| !axes.is_empty())
    }

    fn int(&self, name: &str) -> Option<i64> {
        int_attribute(self.graph.node(self.node), name)
    }

    /// A length that this node is the first to have.
    fn own(&self, axis: usize) -> Length {
        Length::Axis(self.output, axis)
    }

    fn dims(&self) -> Option<Vec<Length>> {
        match self.graph.op(self.node)? {
            op if SAME.contains(&op) => Some(self.input(0)?.to_vec()),
            "Add" | "Sub" | "Mul" | "Div" | "Pow" => self.broadcast(self.input(0)?, self.input(1)?, 0),
            "MatMul" => self.product(),
            "Gemm" => {
                let side = |at: usize, transposed: &str, axis: usize| {
                    let flipped = self.int(transposed).unwrap_or(0) != 0;
                    self.input(at)?.get(if flipped { 1 - axis } else { axis }).copied()
                };
                Some(vec![side(0, "transA", 0)?, side(1, "transB", 1)?])
            }
            "Transpose" => {
                let dims = self.input(0)?;
                match ints_attribute(self.graph.node(self.node), "perm") {
                    Some(order) => order.iter().map(|&axis| dims.get(usize::try_from(axis).ok()?).copied()).collect(),
                    None => Some(dims.iter().rev().copied().collect()),
                }
            }
            "Reshape" if self.int("allowzero").unwrap_or(0) == 0 => self.reshaped(),
            "Gather" => {
                let (data, picked) = (self.input(0)?, self.input(1)?);
                let axis = axis(self.int("axis").unwrap_or(0), data.len())?;
                let (before, rest) = data.split_at_checked(axis)?;
                Some([before, picked, rest.get(1..)?].concat())
            }
            "Conv" => {
                let (dims, weight) = (self.input(0)?, self.input(1)?);
                let spatial = (2..dims.len()).map(|axis| self.own(axis));
                Some([*dims.first()?, *weight.first()?].into_iter().chain(spatial).collect())
            }
            "Unsqueeze" => {
                let (dims, axes) = (self.input(0)?, self.axes()?);
                let rank = dims.len() + axes.len();
                let axes: Vec<usize> = axes.iter().map(|&at| axis(at, rank)).collect::<Option<_>>()?;
                let mut rest = dims.iter();
                (0..rank)
                    .map(|axis| if axes.contains(&axis) { Some(Length::Known(1)) } else { rest.next().copied() })
                    .collect()
            }
            "Squeeze" => {
                let (dims, axes) = (self.input(0)?, self.axes()?);
                let axes: Vec<usize> = axes.iter().map(|&at| axis(at, dims.len())).collect::<Option<_>>()?;
                Some(dims.iter().enumerate().filter(|(axis, _)| !axes.contains(axis)).map(|(_, &dim)| dim).collect())
            }
            // What is cut is as long as the graph cannot tell.
            "Slice" => Some((0..self.input(0)?.len()).map(|axis| self.own(axis)).collect()),
            _ => None,
        }
    }

    /// What the file says of the output.
    fn stated(&self) -> Option<Vec<Length>> {
        let length = |(axis, dim): (usize, &Option<i64>)| dim.map_or_else(|| self.own(axis), Length::Known);
        Some(self.graph.shape(self.output)?.iter().enumerate().map(length).collect())
    }

    /// The lengths of two tensors of which one may be repeated along axes of the other, the last `kept` axes aside.
    fn broadcast(&self, a: &[Length], b: &[Length], kept: usize) -> Option<Vec<Length>> {
        let rank = a.len().max(b.len());
        let from_end = |dims: &[Length], back: usize| dims.get(dims.len().checked_sub(back)?).copied();
        let both = (kept + 1..=rank).rev().map(|back| match (from_end(a, back), from_end(b, back)) {
            (None | Some(Length::Known(1)), Some(other)) | (Some(other), None | Some(Length::Known(1))) => Some(other),
            (Some(one), Some(other)) if one == other => Some(one),
            // The axis of the other is as long, or else 1.
            (Some(known @ Length::Known(_)), Some(Length::Axis(..)))
            | (Some(Length::Axis(..)), Some(known @ Length::Known(_))) => Some(known),
            (Some(Length::Axis(..)), Some(Length::Axis(..))) => Some(self.own(rank - back)),
            _ => None,
        });
        both.collect()
    }

    fn product(&self) -> Option<Vec<Length>> {
        let (a, b) = (self.input(0)?, self.input(1)?);
        let ([.., rows, _], [.., _, columns]) = (a, b) else { return None };
        let mut dims = self.broadcast(a, b, 2)?;
        dims.extend([*rows, *columns]);
        Some(dims)
    }

    fn reshaped(&self) -> Option<Vec<Length>> {
        let (dims, wanted) = (self.input(0)?, self.list(1)?);
        let mut given = Vec::new();
        for (axis, length) in wanted.iter().enumerate() {
            given.push(match length {
                Length::Known(0) => Some(*dims.get(axis)?),
                Length::Known(-1) => None,
                length => Some(*length),
            });
        }
        let known: Vec<Length> = given.iter().flatten().copied().collect();
        let rest = || rest(dims, &known);
        let one = |(axis, length): (usize, &Option<Length>)| length.or_else(rest).unwrap_or_else(|| self.own(axis));
        Some(given.iter().enumerate().map(one).collect())
    }

    fn values(&self) -> Option<Values> {
        let list = |lengths: Vec<Length>| Some(Values { lengths, is_list: true });
        match self.graph.op(self.node)? {
            "Shape" if self.int("start").unwrap_or(0) == 0 && self.int("end").is_none() => {
                list(self.input(0)?.to_vec())
            }
            "Identity" => self.value(0).cloned(),
            // Of a number a list, and of a list of one the number: of more axes, values are not followed.
            "Unsqueeze" => self
                .value(0)
                .filter(|values| !values.is_list && self.axes().is_some_and(|axes| axes.len() == 1))
                .map(|values| Values { lengths: values.lengths.clone(), is_list: true }),
            "Squeeze" => self
                .value(0)
                .filter(|values| values.is_list && values.lengths.len() == 1)
                .map(|values| Values { lengths: values.lengths.clone(), is_list: false }),
            "Gather" if self.int("axis").unwrap_or(0) == 0 => {
                let (values, picked) = (self.list(0)?, self.value(1)?);
                let at = self.numbers(1)?.into_iter().map(|at| values.get(axis(at, values.len())?).copied());
                Some(Values { lengths: at.collect::<Option<_>>()?, is_list: picked.is_list })
            }
            "Concat" => {
                let parts = (0..self.graph.node(self.node).input.len()).map(|at| self.list(at));
                let values = parts.collect::<Option<Vec<_>>>()?.concat();
                if values.len() <= MOST_AXES { list(values) } else { None }
            }
            "Slice" => {
                let values = self.list(0)?;
                let by_one = self.graph.input(self.node, 4).is_none() || self.numbers(4)? == [1];
                let bound = |at: usize| {
                    let &[bound] = &self.numbers(at)?[..] else { return None };
                    let rank = values.len() as i64;
                    usize::try_from((if bound < 0 { bound.saturating_add(rank) } else { bound }).clamp(0, rank)).ok()
                };
                by_one.then(|| list(values.get(bound(1)?..bound(2)?)?.to_vec()))?
            }
            _ => None,
        }
    }
}

/// What is left of `dims` for one axis more beside those that are `given`.
fn rest(dims: &[Length], given: &[Length]) -> Option<Length> {
    let number = |dims: &[Length]| dims.iter().filter_map(|length| length.number()).try_fold(1_i64, i64::checked_mul);
    let (all, taken) = (number(dims)?, number(given)?);
    let mut open: Vec<Length> = dims.iter().filter(|length| matches!(length, Length::Axis(..))).copied().collect();
    for length in given.iter().filter(|length| matches!(length, Length::Axis(..))) {
        open.remove(open.iter().position(|one| one == length)?);
    }
    match open[..] {
        [] if taken > 0 && all % taken == 0 => Some(Length::Known(all / taken)),
        [one] if taken == all => Some(one),
        _ => None,
    }
}

/// An axis counted from the front; `None` where it is beyond the rank.
fn axis(at: i64, rank: usize) -> Option<usize> {
    axis_from_front(at, rank).filter(|&at| at < rank)
}

/// Operators that work element by element, or along an axis that stays.
const SAME: [&str; 27] = [
    "Abs",
    "BatchNormalization",
    "Cast",
    "Clip",
    "DequantizeLinear",
    "Dropout",
    "Elu",
    "Erf",
    "Exp",
    "Gelu",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "LayerNormalization",
    "LeakyRelu",
    "Log",
    "LogSoftmax",
    "Neg",
    "QuantizeLinear",
    "Reciprocal",
    "Relu",
    "Sigmoid",
    "SimplifiedLayerNormalization",
    "Softmax",
    "Softplus",
    "Sqrt",
    "Tanh",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::onnx::testing::GraphBuilder;

    /// The lengths of a tensor, an axis by the tensor whose it is.
    fn dims(graph: GraphBuilder, tensor: &str) -> Vec<String> {
        let graph = graph.build();
        let lengths = Lengths::of(&graph);
        let named = |length: &Length| match length {
            Length::Known(number) => number.to_string(),
            Length::Axis(tensor, axis) => format!("{}.{axis}", graph.name(*tensor)),
        };
        lengths
            .dims(graph.tensor(tensor).unwrap())
            .map_or(vec!["?".to_owned()], |dims| dims.iter().map(named).collect())
    }

    fn start() -> GraphBuilder {
        GraphBuilder::new().input("x", &[-1, -1, 8]).weight("w", &[8, 6]).weight("b", &[6])
    }

    #[test]
    fn layers_keep_all_lengths_but_the_last() {
        let graph = start().node("LayerNormalization", &["x", "w"], &["n"]).node("MatMul", &["n", "w"], &["m"]).node(
            "Add",
            &["m", "b"],
            &["y"],
        );
        assert_eq!(dims(graph, "y"), ["x.0", "x.1", "6"]);
    }

    #[test]
    fn heads_are_split_and_joined() {
        let graph = start()
            .ints("split", &[0, 0, 2, -1])
            .ints("join", &[0, 0, -1])
            .node("Reshape", &["x", "split"], &["s"])
            .node("Transpose", &["s"], &["t"])
            .int_list("perm", &[0, 2, 1, 3])
            .node("Transpose", &["s"], &["k"])
            .int_list("perm", &[0, 2, 3, 1])
            .node("MatMul", &["t", "k"], &["p"])
            .node("MatMul", &["p", "t"], &["a"])
            .node("Transpose", &["a"], &["u"])
            .int_list("perm", &[0, 2, 1, 3])
            .node("Reshape", &["u", "join"], &["y"]);
        assert_eq!(dims(graph.clone(), "p"), ["x.0", "2", "x.1", "x.1"]);
        assert_eq!(dims(graph, "y"), ["x.0", "x.1", "8"]);
    }

    #[test]
    fn shapes_that_the_graph_computes_are_followed() {
        let graph = start()
            .ints("one", &[1])
            .ints("two", &[2])
            .ints("zero", &[0])
            .node("Shape", &["x"], &["lengths"])
            .node("Gather", &["lengths", "one"], &["middle"])
            .node("Slice", &["lengths", "zero", "one"], &["first"])
            .ints("rest", &[-1])
            .node("Concat", &["first", "middle", "two", "rest"], &["shape"])
            .node("Reshape", &["x", "shape"], &["y"]);
        assert_eq!(dims(graph, "y"), ["x.0", "x.1", "2", "4"]);
    }

    #[test]
    fn axes_of_one_come_and_go() {
        let graph = start().ints("at", &[1, -1]).node("Unsqueeze", &["x", "at"], &["wide"]);
        assert_eq!(dims(graph.clone(), "wide"), ["x.0", "1", "x.1", "8", "1"]);
        assert_eq!(dims(graph.node("Squeeze", &["wide", "at"], &["y"]), "y"), ["x.0", "x.1", "8"]);
        assert_eq!(dims(start().node("Squeeze", &["x"], &["y"]), "y"), ["?"], "which axes go, the lengths say");
    }

    #[test]
    fn values_of_more_axes_than_one_are_not_followed() {
        let graph =
            start().ints("zero", &[0]).ints("one", &[1]).ints("two", &[2]).ints("none", &[]).ints("rest", &[-1]);
        let graph = graph.node("Shape", &["x"], &["s"]).node("Slice", &["s", "zero", "two"], &["two_of_them"]);
        let column = graph.clone().node("Unsqueeze", &["two_of_them", "one"], &["column"]);
        let column = column.node("Slice", &["column", "zero", "one", "one"], &["cut"]).node(
            "Squeeze",
            &["cut", "one"],
            &["list"],
        );
        let shape =
            |graph: GraphBuilder| graph.node("Concat", &["list", "rest"], &["c"]).node("Reshape", &["x", "c"], &["y"]);
        assert_eq!(dims(shape(column), "y"), ["?"]);
        let row = graph.clone().node("Unsqueeze", &["s", "zero"], &["row"]).node("Gather", &["row", "zero"], &["list"]);
        assert_eq!(dims(shape(row), "y"), ["?"]);
        let wide = graph.clone().node("Unsqueeze", &["x", "one"], &["wide"]).node("Squeeze", &["wide", "none"], &["y"]);
        assert_eq!(dims(wide, "y"), ["?"], "no axes may be all");
        let chosen = graph.node("Where", &["x", "x", "x"], &["y"]);
        assert_eq!(dims(chosen, "y"), ["?"]);
    }

    #[test]
    fn a_rank_that_doubles_at_every_node_is_not_followed() {
        let names: Vec<String> = (0..60).map(|number| format!("g{number}")).collect();
        let graph = names.windows(2).fold(GraphBuilder::new().input("g0", &[2, 2]), |graph, pair| {
            graph.node("Gather", &[&pair[0], &pair[0]], &[&pair[1]])
        });
        assert_eq!(dims(graph.clone(), "g1"), ["2", "2", "2"]);
        assert_eq!(dims(graph, "g59"), ["?"]);
    }

    #[test]
    fn lengths_that_may_differ_are_told_apart() {
        let graph = start().input("z", &[-1, -1, 8]).node("Add", &["x", "z"], &["y"]);
        assert_eq!(dims(graph, "y"), ["y.0", "y.1", "8"], "either may be repeated");
        let graph = start().input("z", &[1, 5, 1]).node("Add", &["x", "z"], &["y"]);
        assert_eq!(dims(graph, "y"), ["x.0", "5", "8"]);
        let mystery = start().node("Mystery", &["x"], &["y"]).node("Relu", &["y"], &["z"]);
        assert_eq!(dims(mystery.clone(), "z"), ["?"]);
        assert_eq!(dims(mystery.value("y", &[-1, 3]), "z"), ["y.0", "3"], "what the file says");
        let uneven = start().ints("three", &[3, -1]).node("Reshape", &["x", "three"], &["y"]);
        assert_eq!(dims(uneven, "y"), ["3", "y.1"]);
    }
}
