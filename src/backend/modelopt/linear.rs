//! Linear layers of transformers as onnxruntime computes them best: `MatMul` and the `Add` of a bias behind it become a `Gemm`
//! of two-dimensional tensors, whose integer kernel adds the bias on the way. There is no such kernel for the pair.

use std::collections::BTreeMap;

use super::{
    bias::{BIAS, Coded, Place},
    placement::QdqSite,
};
use crate::{
    model::onnx::{
        Graph, Length, Lengths, NodeId, QdqWriter, TensorId, Use, attribute_int, new_node, node_name, proto::NodeProto,
    },
    numeric::FloatFormat,
};

/// A product with a matrix of so many rows, and its bias.
struct Linear<'a> {
    product: NodeId,
    add: NodeId,
    rows: usize,
    codes: &'a [i32],
    scales: &'a [f32],
}

/// Turns the layers that read tensors in codes, which have their pairs already, into Gemms: those of each tensor, if all that
/// reads the codes are products whose bias has codes.
pub(super) fn flatten(graph: &mut Graph, sites: &[&QdqSite], biases: &BTreeMap<NodeId, Coded>) {
    let mut shapes = Shapes { lengths: Lengths::of(graph), leading: BTreeMap::new(), known: BTreeMap::new() };
    for site in sites {
        let linears = site.uses.iter().map(|one| linear(one, biases)).collect::<Option<Vec<_>>>();
        let linears = linears.filter(|_| site.format == FloatFormat::F32).unwrap_or_default();
        let (Some(tensor), Some(first)) = (graph.tensor(&site.tensor), linears.first()) else { continue };
        let pair = graph.uses(tensor).iter().find(|one| graph.op(one.node) == Some("QuantizeLinear")).copied();
        let Some(pair) = pair else { continue };
        let flat = graph.claim(&format!("{}.flat", site.tensor));
        let two = graph.add_ints(&format!("{}.flat_shape", site.tensor), &[-1, first.rows as i64]);
        graph.insert_behind_for(tensor, &[pair], vec![new_node("Reshape", "", vec![site.tensor.clone(), two], &flat)]);
        for linear in linears {
            let shape = shapes.of(graph, tensor, linear.codes.len());
            linear.apply(graph, &shape);
        }
    }
}

fn linear<'a>(at: &Use, biases: &'a BTreeMap<NodeId, Coded>) -> Option<Linear<'a>> {
    match biases.get(&at.node)? {
        Coded { place: Place::Add { node: add, rows }, codes: Some(codes), scales } if at.input == 0 => {
            Some(Linear { product: at.node, add: *add, rows: *rows, codes, scales })
        }
        _ => None,
    }
}

impl Linear<'_> {
    fn apply(&self, graph: &mut Graph, shape: &str) {
        let Some(output) = graph.output(self.add, 0).map(|output| graph.name(output).to_owned()) else { return };
        let name = node_name(graph.node(self.product));
        let flat = graph.claim(&format!("{output}.flat"));
        graph.remove(&[self.add].into());
        let bias = graph.claim(&format!("{name}.bias"));
        graph.update(self.product, |node| {
            node.op_type = Some("Gemm".to_owned());
            node.input.push(bias);
            node.output = vec![flat.clone()];
        });
        let at = Use { node: self.product, input: BIAS };
        QdqWriter::new(graph).quantize_bias(at, &name, self.codes, self.scales);
        let back = new_node("Reshape", "", vec![flat, shape.to_owned()], &output);
        graph.insert(graph.position(self.product) + 1, vec![back]);
    }
}

/// The shapes of what layers give: all lengths of their input but the last, and a length of their own. Layers whose inputs
/// have the same lengths share them.
struct Shapes {
    lengths: Lengths,
    /// The tensors of all lengths of an input but the last.
    leading: BTreeMap<Leading, String>,
    known: BTreeMap<(Leading, usize), String>,
}

/// All lengths of a tensor but the last, if its rank is known.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Leading {
    Known(Vec<Length>),
    Of(TensorId),
}

impl Shapes {
    fn of(&mut self, graph: &mut Graph, tensor: TensorId, last: usize) -> String {
        let found = self.lengths.dims(tensor).and_then(<[Length]>::split_last);
        let leading = found.map_or(Leading::Of(tensor), |(_, leading)| Leading::Known(leading.to_vec()));
        if let Some(known) = self.known.get(&(leading.clone(), last)) {
            return known.clone();
        }
        let name = graph.name(tensor).to_owned();
        let shape = match constant(&leading, last) {
            Some(dims) => graph.add_ints(&format!("{name}.shape_{last}"), &dims),
            None => self.computed(graph, tensor, &leading, last),
        };
        self.known.insert((leading, last), shape.clone());
        shape
    }

    /// From the lengths that the tensor has in each run, right behind it or behind the first of its lengths.
    fn computed(&mut self, graph: &mut Graph, tensor: TensorId, leading: &Leading, last: usize) -> String {
        let name = graph.name(tensor).to_owned();
        let lengths = match self.leading.get(leading) {
            Some(lengths) => lengths.clone(),
            None => {
                let [shape, lengths] = ["lengths", "leading"].map(|suffix| graph.claim(&format!("{name}.{suffix}")));
                let start = graph.add_ints(&format!("{name}.first"), &[0]);
                let end = graph.add_ints(&format!("{name}.last"), &[-1]);
                let nodes: Vec<NodeProto> = vec![
                    new_node("Shape", "", vec![name.clone()], &shape),
                    new_node("Slice", "", vec![shape, start, end], &lengths),
                ];
                graph.insert(graph.producer(tensor).map_or(0, |node| graph.position(node) + 1), nodes);
                self.leading.insert(leading.clone(), lengths.clone());
                lengths
            }
        };
        let own = graph.add_ints(&format!("{name}.width_{last}"), &[last as i64]);
        let joined = graph.claim(&format!("{name}.shape_{last}"));
        let mut node = new_node("Concat", "", vec![lengths.clone(), own], &joined);
        node.attribute.push(attribute_int("axis", 0));
        let behind = graph.tensor(&lengths).and_then(|lengths| graph.producer(lengths));
        graph.insert(behind.map_or(0, |node| graph.position(node) + 1), vec![node]);
        joined
    }
}

/// The shape as a constant, if all lengths but one at most are known, which then follows from the number of values.
fn constant(leading: &Leading, last: usize) -> Option<Vec<i64>> {
    let Leading::Known(leading) = leading else { return None };
    let number = |length: &Length| length.number().unwrap_or(-1);
    let shape: Vec<i64> = leading.iter().map(number).chain([last as i64]).collect();
    (shape.iter().filter(|&&length| length < 1).count() <= 1 && !shape.contains(&0)).then_some(shape)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::onnx::testing::GraphBuilder;

    fn shape(dims: &[i64], last: usize) -> Option<Vec<i64>> {
        let graph = GraphBuilder::new().input("x", dims).build();
        let lengths = Lengths::of(&graph);
        let (_, leading) = lengths.dims(graph.tensor("x").unwrap())?.split_last()?;
        constant(&Leading::Known(leading.to_vec()), last)
    }

    #[test]
    fn a_shape_is_constant_where_one_length_at_most_is_open() {
        assert_eq!(shape(&[-1, 128, 384], 1536), Some(vec![-1, 128, 1536]));
        assert_eq!(shape(&[2, 128, -1], 7), Some(vec![2, 128, 7]));
        assert_eq!(shape(&[-1, -1, 384], 1536), None);
        assert_eq!(shape(&[0, 5, 384], 1536), None, "0 stands for another length");
    }
}
