//! Linear layers of transformers as onnxruntime computes them best: `MatMul` and the `Add` of a bias behind it become a `Gemm`
//! of two-dimensional tensors, whose integer kernel adds the bias on the way. There is no such kernel for the pair.

use std::collections::BTreeMap;

use super::{bias, placement::QdqSite};
use crate::{
    backend::{BackendError, graph::inventory::Candidate, weights::WeightScheme},
    model::onnx::{
        Bytes, Graph, Model, NodeId, QdqWriter, TensorId, Use, attribute_int, constant, new_node, node_name,
        proto::{NodeProto, TensorProto, data_type},
    },
    numeric::FloatFormat,
    quant::QParams,
};

/// A product and its bias.
struct Linear {
    product: NodeId,
    add: NodeId,
    /// The layer's output, behind the bias.
    output: String,
    name: String,
    weight: String,
    columns: usize,
    codes: Vec<i32>,
    scales: Vec<f32>,
}

/// Turns the layers that read a tensor in codes into Gemms, if all that reads the codes are such layers. `params` are those of
/// the tensor, which has a pair already. Whether they were.
pub(super) fn flatten(
    source: &Model,
    candidates: &BTreeMap<NodeId, &Candidate>,
    chosen: &BTreeMap<String, WeightScheme>,
    site: &QdqSite,
    params: QParams,
    graph: &mut Graph,
) -> Result<bool, BackendError> {
    let mut linears = Vec::new();
    for one in &site.uses {
        let found = candidates.get(&one.node).filter(|_| one.input == 0 && site.format == FloatFormat::F32);
        let linear = found.map(|candidate| linear(source, candidate, chosen, params.scale)).transpose()?.flatten();
        let Some(linear) = linear else { return Ok(false) };
        linears.push(linear);
    }
    let Some(tensor) = graph.tensor(&site.tensor) else { return Ok(false) };
    let pair = graph.uses(tensor).iter().find(|one| graph.op(one.node) == Some("QuantizeLinear")).copied();
    let (Some(pair), Some(rows)) = (pair, linears.first().and_then(|first| rows(source, first))) else {
        return Ok(false);
    };
    let flat = graph.claim(&format!("{}.flat", site.tensor));
    let two = ints(graph, &format!("{}.flat_shape", site.tensor), &[-1, rows as i64]);
    graph.insert_behind_for(tensor, &[pair], vec![new_node("Reshape", "", vec![site.tensor.clone(), two], &flat)]);
    let mut shapes = Lengths { tensor, name: &site.tensor, leading: None, known: BTreeMap::new() };
    for linear in linears {
        let shape = shapes.with(graph, linear.columns);
        linear.apply(graph, &shape);
    }
    Ok(true)
}

/// A MatMul with a constant matrix and nothing behind it but the Add of a constant bias.
fn linear(
    source: &Model,
    candidate: &Candidate,
    chosen: &BTreeMap<String, WeightScheme>,
    input_scale: f32,
) -> Result<Option<Linear>, BackendError> {
    let graph = source.graph();
    let product = candidate.node;
    let add = graph.output(product, 0).and_then(|output| match graph.uses(output) {
        [only] if graph.reads(output) == 1 && graph.op(only.node) == Some("Add") => Some(*only),
        _ => None,
    });
    let (Some(add), Some("MatMul"), &[_, columns]) = (add, graph.op(product), candidate.shape.dims()) else {
        return Ok(None);
    };
    let bias = graph.input(add.node, 1 - add.input.min(1)).map(|bias| constant(graph, bias)).transpose()?.flatten();
    let bias = bias.filter(|bias| bias.shape.dims() == [columns] && bias.format == FloatFormat::F32);
    let (Some(bias), Some(output), Some(chosen)) =
        (bias, graph.output(add.node, 0), chosen.get(&candidate.source).filter(|_| !candidate.transposed))
    else {
        return Ok(None);
    };
    let values = bias.format.decode(&bias.read(0..columns * bias.format.size()));
    let coded = bias::codes(graph, candidate, chosen, input_scale, &values)?;
    Ok(coded.and_then(|coded| Some((coded.codes?, coded.scales))).map(|(codes, scales)| Linear {
        product,
        add: add.node,
        output: graph.name(output).to_owned(),
        name: node_name(graph.node(product)),
        weight: candidate.source.clone(),
        columns,
        codes,
        scales,
    }))
}

/// How many values a row of the input has.
fn rows(source: &Model, linear: &Linear) -> Option<usize> {
    let graph = source.graph();
    let weight = constant(graph, graph.tensor(&linear.weight)?).ok()??;
    weight.shape.dims().first().copied()
}

impl Linear {
    fn apply(&self, graph: &mut Graph, shape: &str) {
        let flat = graph.claim(&format!("{}.flat", self.output));
        graph.remove(&[self.add].into());
        let bias = graph.claim(&format!("{}.bias", self.name));
        graph.update(self.product, |node| {
            node.op_type = Some("Gemm".to_owned());
            node.input.push(bias);
            node.output = vec![flat.clone()];
        });
        let at = Use { node: self.product, input: 2 };
        QdqWriter::new(graph).quantize_bias(at, &self.name, &self.codes, &self.scales);
        let back = new_node("Reshape", "", vec![flat, shape.to_owned()], &self.output);
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
            Some(dims) => ints(graph, &format!("{}.shape_{last}", self.name), &dims),
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
                let start = ints(graph, &format!("{}.first", self.name), &[0]);
                let end = ints(graph, &format!("{}.last", self.name), &[-1]);
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
        let own = ints(graph, &own, &[last as i64]);
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

fn ints(graph: &mut Graph, name: &str, values: &[i64]) -> String {
    let name = graph.claim(name);
    graph.add_initializer(TensorProto {
        name: Some(name.clone()),
        dims: vec![values.len() as i64],
        data_type: Some(data_type::INT64),
        raw_data: Some(Bytes::from(values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())),
        ..Default::default()
    });
    name
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
