//! Carrying a model from f32 to f16: constants and what is computed from them, its inputs and outputs kept as they are.
//!
//! Operators that have no f16 form in ONNX stay in f32, between casts. Types are told from the constants, the inputs and
//! what the graph says of its tensors, and carried along the nodes.

use std::collections::{BTreeMap, BTreeSet};

use half::f16;

use super::{
    Bytes, Graph, Names, OnnxError,
    constants::data,
    new_node,
    node::{attribute_int, inner_graphs, is_own_domain, node_name},
    op::{OpFacts, ResultType},
    proto::{GraphProto, NodeProto, TensorProto, attribute_type, data_type, type_proto},
};
use crate::numeric::FloatFormat;

/// What was changed and what was not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Halved {
    /// Nodes that stay in f32: name and operator.
    pub kept: Vec<(String, String)>,
    /// Constants with finite values that f16 does not reach, which became its largest.
    pub clipped: Vec<String>,
}

/// Carries a graph to f16. An error names a node with a graph of its own, or of a domain that is not ONNX's.
pub fn to_half(graph: &mut Graph) -> Result<Halved, OnnxError> {
    let (mut proto, declared) = (graph.to_proto(), graph.declared_types());
    let halved = halve_graph(&mut proto, &declared)?;
    *graph = Graph::new(proto)?;
    Ok(halved)
}

fn halve_graph(graph: &mut GraphProto, declared: &BTreeMap<String, i32>) -> Result<Halved, OnnxError> {
    for node in &graph.node {
        let inner = inner_graphs(node).next().is_some();
        let reason = match (inner, is_own_domain(node.domain.as_deref())) {
            (true, _) => "it has a graph of its own",
            (_, false) => "its operator is not ONNX's",
            _ => continue,
        };
        let op_type = node.op_type.clone().unwrap_or_default();
        return Err(OnnxError::Half { node: node_name(node), op_type, reason });
    }
    let mut half = Half {
        names: Names::new(graph),
        floats: BTreeSet::new(),
        singles: BTreeSet::new(),
        half_of: BTreeMap::new(),
        single_of: BTreeMap::new(),
        out: Vec::new(),
    };
    let mut halved = Halved::default();
    half.inputs(graph);
    let nodes = std::mem::take(&mut graph.node);
    half.constants(graph, &nodes, &mut halved);
    for node in nodes {
        half.node(node, declared, &mut halved);
    }
    half.outputs(graph);
    graph.node = half.out;
    for info in &mut graph.value_info {
        if info.name.as_ref().is_some_and(|name| half.floats.contains(name))
            && let Some(type_proto::Value::TensorType(tensor)) =
                info.r#type.as_option_mut().and_then(|kind| kind.value.as_mut())
        {
            tensor.elem_type = Some(data_type::FLOAT16);
        }
    }
    Ok(halved)
}

struct Half {
    names: Names,
    /// Tensors that are f16 now.
    floats: BTreeSet<String>,
    /// Inputs and constants that are f32 still.
    singles: BTreeSet<String>,
    /// f32 tensors to their f16 twins.
    half_of: BTreeMap<String, String>,
    /// The other way round.
    single_of: BTreeMap<String, String>,
    out: Vec<NodeProto>,
}

impl Half {
    fn cast(&mut self, from: &str, name: &str, to: i32) -> String {
        let output = self.names.claim(name);
        self.cast_to(from, &output, to);
        output
    }

    fn cast_to(&mut self, from: &str, output: &str, to: i32) {
        let mut node = new_node("Cast", "", vec![from.to_owned()], output);
        node.attribute.push(attribute_int("to", i64::from(to)));
        self.out.push(node);
    }

    /// Inputs stay f32 for whoever feeds them, and are cast at once.
    fn inputs(&mut self, graph: &GraphProto) {
        let constants: BTreeSet<&String> = graph.initializer.iter().filter_map(|tensor| tensor.name.as_ref()).collect();
        for input in &graph.input {
            let (Some(name), Some(type_proto::Value::TensorType(tensor))) =
                (&input.name, input.r#type.as_option().and_then(|kind| kind.value.as_ref()))
            else {
                continue;
            };
            if tensor.elem_type == Some(data_type::FLOAT) && !constants.contains(name) {
                let cast = self.cast(name, &format!("{name}.half"), data_type::FLOAT16);
                self.twins(name.clone(), cast);
            }
        }
    }

    fn twins(&mut self, single: String, half: String) {
        self.floats.insert(half.clone());
        self.singles.insert(single.clone());
        self.single_of.insert(half.clone(), single.clone());
        self.half_of.insert(single, half);
    }

    /// Constants become f16, save those that some node wants in f32: these have an f16 twin where another node reads them too.
    fn constants(&mut self, graph: &mut GraphProto, nodes: &[NodeProto], halved: &mut Halved) {
        let (mut wanted_single, mut wanted_half) = (BTreeSet::new(), BTreeSet::new());
        for node in nodes {
            for (at, input) in node.input.iter().enumerate() {
                if is_single(OpFacts::of(node.op_type.as_deref().unwrap_or_default()), at) {
                    &mut wanted_single
                } else {
                    &mut wanted_half
                }
                .insert(input.clone());
            }
        }
        wanted_half.extend(graph.output.iter().filter_map(|output| output.name.clone()));
        for tensor in std::mem::take(&mut graph.initializer) {
            let name = tensor.name.clone().unwrap_or_default();
            if tensor.data_type != Some(data_type::FLOAT) {
                graph.initializer.push(tensor);
                continue;
            }
            if !wanted_single.contains(&name) {
                graph.initializer.push(halve(&tensor, halved));
                self.floats.insert(name);
                continue;
            }
            if wanted_half.contains(&name) {
                let twin = self.names.claim(&format!("{name}.half"));
                graph.initializer.push(TensorProto { name: Some(twin.clone()), ..halve(&tensor, halved) });
                self.twins(name, twin);
            } else {
                self.singles.insert(name);
            }
            graph.initializer.push(tensor);
        }
        // Old models list their constants among the inputs, with their type.
        graph.input.retain(|input| input.name.as_ref().is_none_or(|name| !self.floats.contains(name)));
    }

    fn node(&mut self, mut node: NodeProto, declared: &BTreeMap<String, i32>, halved: &mut Halved) {
        let op = node.op_type.clone().unwrap_or_default();
        let facts = OpFacts::of(&op);
        let mut any_float = false;
        for (at, name) in node.input.iter_mut().enumerate() {
            if is_single(facts, at) {
                any_float |= self.floats.contains(name) || self.singles.contains(name);
                if self.floats.contains(name) {
                    *name = self.single(std::mem::take(name));
                }
            } else if let Some(half) = self.half_of.get(name) {
                name.clone_from(half);
            }
        }
        let float_result = match (op.as_str(), facts.result) {
            ("Cast", _) => cast_to_half(&mut node),
            ("ConstantOfShape", _) => half_of_shape(&mut node),
            (_, ResultType::NotFloat) => false,
            (_, ResultType::Like(input)) => self.reads_float(&node, input),
            (_, ResultType::Float | ResultType::Unknown) => self.reads_float(&node, 0),
        };
        if !facts.stays_f32 {
            if float_result {
                let results = node.output.iter().take(facts.float_outputs);
                self.floats.extend(results.filter(|name| !name.is_empty()).cloned());
            }
            return self.out.push(node);
        }
        halved.kept.push((node_name(&node), op));
        let undeclared = match facts.result {
            ResultType::NotFloat => false,
            ResultType::Float => true,
            ResultType::Like(_) | ResultType::Unknown => any_float,
        };
        let float = |name: &String| declared.get(name).map_or(undeclared, |&kind| kind == data_type::FLOAT);
        let mut casts = Vec::new();
        for output in node.output.iter_mut().filter(|name| !name.is_empty() && float(name)) {
            let single = self.names.claim(&format!("{output}.single"));
            casts.push((single.clone(), std::mem::replace(output, single)));
        }
        self.out.push(node);
        for (single, output) in casts {
            self.cast_to(&single, &output, data_type::FLOAT16);
            self.floats.insert(output);
        }
    }

    /// The f32 copy of an f16 tensor.
    fn single(&mut self, name: String) -> String {
        if let Some(single) = self.single_of.get(&name) {
            return single.clone();
        }
        let single = self.cast(&name, &format!("{name}.single"), data_type::FLOAT);
        self.single_of.insert(name, single.clone());
        single
    }

    fn reads_float(&self, node: &NodeProto, at: usize) -> bool {
        node.input.get(at).is_some_and(|name| self.floats.contains(name))
    }

    /// Outputs are f32 again, under their own names.
    fn outputs(&mut self, graph: &mut GraphProto) {
        let mut renamed = BTreeMap::new();
        for output in graph.output.iter().filter_map(|output| output.name.clone()) {
            if self.floats.contains(&output) && !renamed.contains_key(&output) {
                renamed.insert(output.clone(), self.names.claim(&format!("{output}.half")));
            }
        }
        let rename = |name: &mut String| {
            if let Some(new) = renamed.get(name) {
                name.clone_from(new);
            }
        };
        for node in &mut self.out {
            node.input.iter_mut().for_each(rename);
            node.output.iter_mut().for_each(rename);
        }
        graph.initializer.iter_mut().filter_map(|tensor| tensor.name.as_mut()).for_each(rename);
        for (output, half) in &renamed {
            self.cast_to(half, output, data_type::FLOAT);
            self.floats.remove(output);
        }
    }
}

/// Whether an input of a node stays f32.
fn is_single(facts: &OpFacts, at: usize) -> bool {
    facts.stays_f32 || facts.f32_input == Some(at)
}

/// Makes a Cast to f32 one to f16; whether the result is f16.
fn cast_to_half(node: &mut NodeProto) -> bool {
    let to = node.attribute.iter_mut().find(|attribute| attribute.name.as_deref() == Some("to"));
    let Some(to) = to else { return false };
    if to.i == Some(i64::from(data_type::FLOAT)) {
        to.i = Some(i64::from(data_type::FLOAT16));
    }
    to.i == Some(i64::from(data_type::FLOAT16))
}

/// Makes a ConstantOfShape of f32 one of f16; whether the result is f16.
fn half_of_shape(node: &mut NodeProto) -> bool {
    let value = node.attribute.iter_mut().find(|attribute| attribute.name.as_deref() == Some("value"));
    let Some(value) = value else {
        // Without a value it is a f32 of 0.
        node.attribute.push(super::proto::AttributeProto {
            name: Some("value".to_owned()),
            r#type: Some(attribute_type::TENSOR),
            t: TensorProto {
                dims: vec![1],
                data_type: Some(data_type::FLOAT16),
                raw_data: Some(Bytes::from_static(&[0, 0])),
                ..Default::default()
            }
            .into(),
            ..Default::default()
        });
        return true;
    };
    let tensor = value.t.get_or_insert_default();
    if tensor.data_type == Some(data_type::FLOAT) {
        *tensor = halve(tensor, &mut Halved::default());
    }
    tensor.data_type == Some(data_type::FLOAT16)
}

fn halve(tensor: &TensorProto, halved: &mut Halved) -> TensorProto {
    let bytes = data(tensor, FloatFormat::F32);
    let mut clipped = false;
    let values = bytes.as_chunks::<4>().0.iter().flat_map(|bytes| {
        let x = f32::from_le_bytes(*bytes);
        let half = f16::from_f32(x);
        let beyond = half.is_infinite() && x.is_finite();
        clipped |= beyond;
        (if beyond { f16::MAX.copysign(half) } else { half }).to_le_bytes()
    });
    let values: Vec<u8> = values.collect();
    if clipped {
        halved.clipped.extend(tensor.name.clone());
    }
    TensorProto {
        dims: tensor.dims.clone(),
        data_type: Some(data_type::FLOAT16),
        name: tensor.name.clone(),
        raw_data: Some(Bytes::from(values)),
        ..Default::default()
    }
}
