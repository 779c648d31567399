//! Linear layers of transformers as onnxruntime computes them best: `MatMul` and the `Add` of a bias behind it become a `Gemm`
//! of two-dimensional tensors, whose integer kernel adds the bias on the way. There is no such kernel for the pair.

use std::collections::BTreeMap;

use super::{
    bias::{BIAS, Coded, Place},
    placement::QdqSite,
};
use crate::{
    model::onnx::{Graph, NodeId, QdqWriter, TensorId, Use, attribute_int, new_node, node_name, proto::NodeProto},
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

/// Turns the layers that read a tensor in codes, which has its pair already, into Gemms, if all that reads the codes are
/// products whose bias has codes.
pub(super) fn flatten(graph: &mut Graph, site: &QdqSite, biases: &BTreeMap<NodeId, Coded>) {
    let linears = site.uses.iter().map(|one| linear(one, biases)).collect::<Option<Vec<_>>>();
    let linears = linears.filter(|_| site.format == FloatFormat::F32).unwrap_or_default();
    let (Some(tensor), Some(first)) = (graph.tensor(&site.tensor), linears.first()) else { return };
    let pair = graph.uses(tensor).iter().find(|one| graph.op(one.node) == Some("QuantizeLinear")).copied();
    let Some(pair) = pair else { return };
    let flat = graph.claim(&format!("{}.flat", site.tensor));
    let two = graph.add_ints(&format!("{}.flat_shape", site.tensor), &[-1, first.rows as i64]);
    graph.insert_behind_for(tensor, &[pair], vec![new_node("Reshape", "", vec![site.tensor.clone(), two], &flat)]);
    let mut shapes = Lengths { tensor, name: &site.tensor, leading: None, known: BTreeMap::new() };
    for linear in linears {
        let shape = shapes.with(graph, linear.codes.len());
        linear.apply(graph, &shape);
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

/// The shapes of what layers of one input give: all its lengths but the last, and a length of their own.
struct Lengths<'a> {
    tensor: TensorId,
    name: &'a str,
    /// The tensor of all lengths but the last.
    leading: Option<String>,
    known: BTreeMap<usize, String>,
}

impl Lengths<'_> {
    fn with(&mut self, graph: &mut Graph, last: usize) -> String {
        if let Some(known) = self.known.get(&last) {
            return known.clone();
        }
        let stated = graph.shape(self.tensor).and_then(|dims| stated(dims, last));
        let shape = match stated {
            Some(dims) => graph.add_ints(&format!("{}.shape_{last}", self.name), &dims),
            None => self.computed(graph, last),
        };
        self.known.insert(last, shape.clone());
        shape
    }

    fn computed(&mut self, graph: &mut Graph, last: usize) -> String {
        let position = graph.producer(self.tensor).map_or(0, |node| graph.position(node) + 1);
        let leading = match &self.leading {
            Some(leading) => leading.clone(),
            None => {
                let [shape, leading] =
                    ["lengths", "leading"].map(|suffix| graph.claim(&format!("{}.{suffix}", self.name)));
                let start = graph.add_ints(&format!("{}.first", self.name), &[0]);
                let end = graph.add_ints(&format!("{}.last", self.name), &[-1]);
                let nodes: Vec<NodeProto> = vec![
                    new_node("Shape", "", vec![self.name.to_owned()], &shape),
                    new_node("Slice", "", vec![shape, start, end], &leading),
                ];
                graph.insert(position, nodes);
                self.leading = Some(leading.clone());
                leading
            }
        };
        let [own, joined] = ["width", "shape"].map(|what| format!("{}.{what}_{last}", self.name));
        let own = graph.add_ints(&own, &[last as i64]);
        let joined = graph.claim(&joined);
        let mut node = new_node("Concat", "", vec![leading.clone(), own], &joined);
        node.attribute.push(attribute_int("axis", 0));
        let behind = graph.tensor(&leading).and_then(|leading| graph.producer(leading));
        let position = behind.map_or(position, |node| graph.position(node) + 1);
        graph.insert(position, vec![node]);
        joined
    }
}

/// The shape as constants, if the file states all lengths but one at most, which then follows from the number of values.
fn stated(dims: &[Option<i64>], last: usize) -> Option<Vec<i64>> {
    let (_, leading) = dims.split_last()?;
    let open = leading.iter().filter(|dim| dim.is_none()).count();
    let mut shape: Vec<i64> = leading.iter().map(|dim| dim.unwrap_or(-1)).collect();
    shape.push(last as i64);
    (open <= 1).then_some(shape)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_is_constant_where_one_length_at_most_is_open() {
        assert_eq!(stated(&[None, Some(128), Some(384)], 1536), Some(vec![-1, 128, 1536]));
        assert_eq!(stated(&[Some(2), Some(128), None], 7), Some(vec![2, 128, 7]));
        assert_eq!(stated(&[None, None, Some(384)], 1536), None);
        assert_eq!(stated(&[], 1), None);
    }
}
