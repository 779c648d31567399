//! [`Patch`]: what an adapter works on.

use crate::model::onnx::{
    Bytes, Names,
    proto::{AttributeProto, NodeProto, TensorProto, attribute_type, data_type},
};

/// A node on its way to a later version, and what has to come with it.
pub(super) struct Patch<'a> {
    pub(super) node: NodeProto,
    /// Every name of the graph, so that a new one differs from all.
    pub(super) names: &'a mut Names,
    /// New constants of the main graph.
    pub(super) constants: &'a mut Vec<TensorProto>,
    /// New nodes right before it.
    pub(super) ahead: Vec<NodeProto>,
    /// New nodes right behind it.
    pub(super) behind: Vec<NodeProto>,
}

/// Whether a node could be changed, or why not.
pub(super) type Adapted = Result<(), &'static str>;

impl Patch<'_> {
    /// Takes an attribute away.
    pub(super) fn take(&mut self, name: &str) -> Option<AttributeProto> {
        let at = self.node.attribute.iter().position(|a| a.name.as_deref() == Some(name))?;
        Some(self.node.attribute.remove(at))
    }

    /// Whether there is an attribute.
    pub(super) fn has(&self, name: &str) -> bool {
        self.node.attribute.iter().any(|a| a.name.as_deref() == Some(name))
    }

    /// The name of the first output, or nothing.
    pub(super) fn output(&self) -> String {
        self.node.output.first().cloned().unwrap_or_default()
    }

    /// A new constant, named after the node's output.
    fn constant(&mut self, suffix: &str, tensor: TensorProto) -> String {
        let name = self.names.claim(&format!("{}/{suffix}", self.output()));
        self.constants.push(TensorProto { name: Some(name.clone()), ..tensor });
        name
    }

    /// A new constant of 64-bit integers of rank 1: its name.
    pub(super) fn integers(&mut self, suffix: &str, values: Vec<i64>) -> String {
        let tensor = TensorProto {
            dims: vec![values.len() as i64],
            data_type: Some(data_type::INT64),
            int64_data: values,
            ..Default::default()
        };
        self.constant(suffix, tensor)
    }

    /// A new f32 constant: its name.
    pub(super) fn floats(&mut self, suffix: &str, dims: Vec<i64>, values: &[f32]) -> String {
        let raw: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        let raw_data = Some(Bytes::from(raw));
        self.constant(suffix, TensorProto { dims, data_type: Some(data_type::FLOAT), raw_data, ..Default::default() })
    }

    /// A list of integers becomes the second input.
    pub(super) fn attribute_to_input(&mut self, name: &str) {
        if let Some(attribute) = self.take(name) {
            let input = self.integers(name, attribute.ints);
            self.node.input.truncate(1);
            self.node.input.push(input);
        }
    }
}

/// An attribute of type `STRING`.
pub(super) fn text(name: &str, value: &str) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_owned()),
        s: Some(value.as_bytes().to_vec().into()),
        r#type: Some(attribute_type::STRING),
        ..Default::default()
    }
}

/// What an adapter makes of the last node of a graph: the nodes that stand in its place, and new constants.
#[cfg(test)]
pub(super) fn adapted(
    builder: crate::model::onnx::testing::GraphBuilder,
    adapter: fn(&mut Patch<'_>) -> Adapted,
) -> Result<(Vec<NodeProto>, Vec<TensorProto>), &'static str> {
    let mut graph = builder.proto();
    let (mut names, mut constants) = (Names::new(&graph), Vec::new());
    let node = graph.node.pop().unwrap_or_default();
    let mut patch = Patch { node, names: &mut names, constants: &mut constants, ahead: Vec::new(), behind: Vec::new() };
    adapter(&mut patch)?;
    let Patch { node, ahead, behind, .. } = patch;
    Ok((ahead.into_iter().chain([node]).chain(behind).collect(), constants))
}
