//! Folding BatchNormalization into the Conv, ConvTranspose or Gemm before it.
//!
//! `y = (x − mean) / √(variance + ε) · γ + β` on the output of a linear layer is a factor for each output channel and a new
//! bias. Computed in f64, rounded once.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{
    GraphIndex, OnnxError, constant,
    graph::reads,
    int_attribute,
    node::{is_own_domain, node_name},
    proto::{GraphProto, NodeProto, TensorProto},
    prune::prune,
};
use crate::{numeric::FloatFormat, tensor::Channels};

/// What ONNX adds to the variance where a node does not say.
const DEFAULT_EPSILON: f32 = 1e-5;

/// Folds every BatchNormalization that alone reads the output of a linear layer with constant weights. The names of the
/// nodes folded.
pub fn fold_batch_norms(graph: &mut GraphProto) -> Result<Vec<String>, OnnxError> {
    let mut folded = Vec::new();
    let mut index = GraphIndex::new(graph)?;
    let counts = reads(graph, |_| true);
    let alone = |name: &str| counts.get(name) == Some(&1);
    let mut renamed: BTreeMap<usize, String> = BTreeMap::new();
    let mut orphans = Vec::new();
    for position in 0..graph.node.len() {
        let node = &graph.node[position];
        if node.op_type.as_deref() != Some("BatchNormalization") || !is_own_domain(node.domain.as_deref()) {
            continue;
        }
        let Some(linear) = node.input.first().filter(|x| alone(x)).and_then(|x| index.producer(x)) else { continue };
        let Some(folding) = Folding::new(graph, &index, linear, position)? else { continue };
        let claim =
            |index: &mut GraphIndex, suffix: &str| index.claim(&format!("{}.{suffix}", node_name(&graph.node[linear])));
        // Rules know a layer by the name of its weight.
        let own = graph.node[linear].input[1].clone();
        let weight =
            if alone(&own) && index.initializer(&own).is_some() { own } else { claim(&mut index, "folded_weight") };
        let names = [weight, claim(&mut index, "folded_bias")];
        folded.push(node_name(&graph.node[position]));
        orphans.extend(graph.node[position].input.iter().skip(1).cloned());
        orphans.extend(graph.node[linear].input.iter().skip(1).filter(|name| **name != names[0]).cloned());
        let [weight, bias] = &names;
        match index.initializer(weight) {
            Some(position) => graph.initializer[position] = folding.weight(weight),
            None => graph.initializer.push(folding.weight(weight)),
        }
        graph.initializer.push(folding.bias(bias));
        let inputs = vec![graph.node[linear].input[0].clone(), weight.clone(), bias.clone()];
        graph.node[linear].input = inputs;
        renamed.insert(linear, graph.node[position].output[0].clone());
        graph.node[position].op_type = Some(String::new()); // to be removed below
    }
    for (linear, output) in renamed {
        graph.node[linear].output = vec![output];
    }
    graph.node.retain(|node| node.op_type.as_deref() != Some(""));
    prune(graph, orphans);
    Ok(folded)
}

/// The folded tensors.
struct Folding {
    format: FloatFormat,
    dims: Vec<i64>,
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl Folding {
    /// `None` if the two nodes are not of the form that can be folded.
    fn new(graph: &GraphProto, index: &GraphIndex, linear: usize, norm: usize) -> Result<Option<Self>, OnnxError> {
        let (linear, norm) = (&graph.node[linear], &graph.node[norm]);
        let floats = |node: &NodeProto, input: usize| match node.input.get(input) {
            Some(name) if !name.is_empty() => constant(graph, index, name),
            _ => Ok(None),
        };
        let Some(weight) = floats(linear, 1)? else { return Ok(None) };
        let groups = int_attribute(linear, "group").unwrap_or(1);
        let axis = match (linear.op_type.as_deref(), weight.shape.rank()) {
            (Some("Conv"), 3..) => 0,
            // The channels of a group share an axis with those of the others.
            (Some("ConvTranspose"), 3..) if groups == 1 => 1,
            (Some("Gemm"), 2) if scales_nothing(linear) => {
                usize::from(int_attribute(linear, "transB").unwrap_or(0) == 0)
            }
            _ => return Ok(None),
        };
        let inference = int_attribute(norm, "training_mode").unwrap_or(0) == 0
            && norm.output.iter().skip(1).all(String::is_empty)
            && is_own_domain(linear.domain.as_deref());
        let Some(across) = Channels::along(&weight.shape, axis).filter(|_| inference) else { return Ok(None) };
        let values = |node: &NodeProto, input: usize| -> Result<Option<Vec<f32>>, OnnxError> {
            let found = floats(node, input)?.filter(|c| c.shape.elements() == across.channels && c.shape.rank() == 1);
            Ok(found.and_then(|c| Some(c.format.decode(c.view()?.bytes()))))
        };
        let bias = match linear.input.get(2).filter(|name| !name.is_empty()) {
            None => vec![0.0; across.channels],
            Some(_) => match values(linear, 2)? {
                Some(bias) => bias,
                None => return Ok(None),
            },
        };
        let [Some(gamma), Some(beta), Some(mean), Some(variance)] =
            [values(norm, 1)?, values(norm, 2)?, values(norm, 3)?, values(norm, 4)?]
        else {
            return Ok(None);
        };
        let epsilon = norm.attribute.iter().find(|a| a.name.as_deref() == Some("epsilon")).and_then(|a| a.f);
        let epsilon = f64::from(epsilon.unwrap_or(DEFAULT_EPSILON));
        let factors: Vec<f64> =
            gamma.iter().zip(&variance).map(|(&g, &v)| f64::from(g) / (f64::from(v) + epsilon).sqrt()).collect();
        let shifted = bias.iter().zip(&mean).zip(factors.iter().zip(&beta));
        let bias: Vec<f32> = shifted
            .map(|((&b, &m), (f, &beta))| ((f64::from(b) - f64::from(m)) * f + f64::from(beta)) as f32)
            .collect();
        let Some(view) = weight.view() else { return Ok(None) };
        let mut values = weight.format.decode(view.bytes());
        for (at, value) in values.iter_mut().enumerate() {
            *value = (f64::from(*value) * factors[at / across.inner % across.channels]) as f32;
        }
        if !values.iter().chain(&bias).all(|x| x.is_finite()) {
            return Ok(None);
        }
        let dims = weight.shape.dims().iter().map(|&d| d as i64).collect();
        Ok(Some(Folding { format: weight.format, dims, weight: values, bias }))
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

/// Whether a Gemm multiplies neither product nor bias by a factor, and takes its input as it is.
fn scales_nothing(gemm: &NodeProto) -> bool {
    let factor = |name: &str| gemm.attribute.iter().find(|a| a.name.as_deref() == Some(name)).and_then(|a| a.f);
    factor("alpha").is_none_or(|x| x == 1.0)
        && factor("beta").is_none_or(|x| x == 1.0)
        && int_attribute(gemm, "transA").unwrap_or(0) == 0
}
