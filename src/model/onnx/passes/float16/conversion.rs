//! [`Conversion`]: the parts of a graph that are not nodes, and the casts between f32 and f16.

use std::collections::{BTreeMap, BTreeSet};

use super::values;
use crate::model::onnx::{
    Names, attribute_int, new_node,
    op::OpFacts,
    proto::{GraphProto, NodeProto, TensorProto, data_type, type_proto},
};

/// A graph on its way, and what is known of its tensors so far.
pub(super) struct Conversion<'a> {
    names: Names,
    /// Tensors whose values f16 does not hold.
    beyond: &'a BTreeSet<String>,
    /// Tensors that are f16 now.
    pub(super) floats: BTreeSet<String>,
    /// Inputs, constants and results that are f32 still.
    pub(super) singles: BTreeSet<String>,
    /// f32 tensors to their f16 twins.
    half_of: BTreeMap<String, String>,
    /// The other way round.
    single_of: BTreeMap<String, String>,
    /// The nodes so far.
    pub(super) nodes: Vec<NodeProto>,
    /// Nodes that stay in f32: name and operator.
    pub(super) stays_f32: Vec<(String, String)>,
    /// Of these, by name, the ones that give or read what f16 does not hold.
    pub(super) kept_by_range: Vec<String>,
    /// Inputs and results that are f32 in the graph as it came.
    pub(super) activations: BTreeSet<String>,
    /// Constants with finite values that f16 does not reach, which became its largest.
    pub(super) clipped: Vec<String>,
}

impl<'a> Conversion<'a> {
    /// Before the first node; `names` are those in use, `beyond` tensors whose values f16 does not hold.
    pub(super) fn new(names: Names, beyond: &'a BTreeSet<String>) -> Self {
        Conversion {
            names,
            beyond,
            floats: BTreeSet::new(),
            singles: BTreeSet::new(),
            half_of: BTreeMap::new(),
            single_of: BTreeMap::new(),
            nodes: Vec::new(),
            stays_f32: Vec::new(),
            kept_by_range: Vec::new(),
            activations: BTreeSet::new(),
            clipped: Vec::new(),
        }
    }

    /// Whether a node gives or reads what f16 does not hold.
    pub(super) fn is_beyond(&self, node: &NodeProto) -> bool {
        node.input.iter().chain(&node.output).any(|name| self.beyond.contains(name))
    }

    fn cast(&mut self, from: &str, name: &str, to: i32) -> String {
        let output = self.names.claim(name);
        self.cast_to(from, &output, to);
        output
    }

    /// A Cast that gives a tensor of this name.
    fn cast_to(&mut self, from: &str, output: &str, to: i32) {
        let mut node = new_node("Cast", "", vec![from.to_owned()], output);
        node.attribute.push(attribute_int("to", i64::from(to)));
        self.nodes.push(node);
    }

    /// Inputs stay f32 for whoever feeds them, and are cast at once.
    pub(super) fn inputs(&mut self, graph: &GraphProto) {
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
                self.activations.insert(name.clone());
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
    pub(super) fn constants(&mut self, graph: &mut GraphProto, nodes: &[NodeProto]) {
        let (mut wanted_single, mut wanted_half) = (BTreeSet::new(), BTreeSet::new());
        for node in nodes {
            let (facts, beyond) = (OpFacts::of(node.op_type.as_deref().unwrap_or_default()), self.is_beyond(node));
            let (single, half): (Vec<_>, Vec<_>) =
                node.input.iter().enumerate().partition(|(at, _)| beyond || facts.is_f32(*at));
            wanted_single.extend(single.into_iter().map(|(_, input)| input.clone()));
            wanted_half.extend(half.into_iter().map(|(_, input)| input.clone()));
        }
        wanted_half.extend(graph.output.iter().filter_map(|output| output.name.clone()));
        for tensor in std::mem::take(&mut graph.initializer) {
            let name = tensor.name.clone().unwrap_or_default();
            if tensor.data_type != Some(data_type::FLOAT) {
                graph.initializer.push(tensor);
            } else if !wanted_single.contains(&name) {
                graph.initializer.push(self.float16(&tensor));
                self.floats.insert(name);
            } else {
                if wanted_half.contains(&name) {
                    let twin = self.names.claim(&format!("{name}.half"));
                    graph.initializer.push(TensorProto { name: Some(twin.clone()), ..self.float16(&tensor) });
                    self.twins(name, twin);
                } else {
                    self.singles.insert(name);
                }
                graph.initializer.push(tensor);
            }
        }
        // Old models list their constants among the inputs, with their type.
        graph.input.retain(|input| input.name.as_ref().is_none_or(|name| !self.floats.contains(name)));
    }

    fn float16(&mut self, tensor: &TensorProto) -> TensorProto {
        let (float16, clipped) = values::to_float16(tensor);
        self.clipped.extend(tensor.name.clone().filter(|_| clipped));
        float16
    }

    /// The f32 copy of an f16 tensor.
    pub(super) fn single(&mut self, name: String) -> String {
        if let Some(single) = self.single_of.get(&name) {
            return single.clone();
        }
        let single = self.cast(&name, &format!("{name}.single"), data_type::FLOAT);
        self.single_of.insert(name, single.clone());
        single
    }

    /// The f16 copy of an f32 tensor.
    pub(super) fn half(&mut self, name: String) -> String {
        if let Some(half) = self.half_of.get(&name) {
            return half.clone();
        }
        let half = self.cast(&name, &format!("{name}.half"), data_type::FLOAT16);
        self.twins(name, half.clone());
        half
    }

    /// Outputs are f32 again, under their own names.
    pub(super) fn outputs(&mut self, graph: &mut GraphProto) {
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
        for node in &mut self.nodes {
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
