//! Carrying one node: its inputs, and which of its results are f16.

use std::collections::BTreeMap;

use super::{conversion::Conversion, values};
use crate::model::onnx::{
    Bytes, constant_value, int_attribute, node_name,
    op::{OpFacts, ResultType},
    proto::{AttributeProto, NodeProto, TensorProto, attribute_type, data_type},
};

impl Conversion<'_> {
    /// Carries the next node; `declared` is what the graph says of the types of its tensors.
    pub(super) fn node(&mut self, mut node: NodeProto, declared: &BTreeMap<String, i32>) {
        let op = node.op_type.clone().unwrap_or_default();
        let facts = OpFacts::of(&op);
        let beyond = self.is_beyond(&node);
        let stays_f32 = facts.stays_f32 || beyond;
        let mut any_float = false;
        for (at, name) in node.input.iter_mut().enumerate() {
            if stays_f32 || facts.is_f32(at) {
                any_float |= self.floats.contains(name) || self.singles.contains(name);
                if self.floats.contains(name) {
                    *name = self.single(std::mem::take(name));
                }
            } else if self.singles.contains(name) {
                *name = self.half(std::mem::take(name));
            }
        }
        if stays_f32 {
            return self.node_in_f32(node, any_float, beyond, declared);
        }
        let float_result = match (op.as_str(), facts.result) {
            ("Cast", _) => cast_to_float16(&mut node),
            ("Constant", _) => self.constant_node(&mut node),
            ("ConstantOfShape", _) => float16_of_shape(&mut node),
            (_, ResultType::NotFloat) => false,
            (_, ResultType::Like(input)) => self.reads_float(&node, input),
            (_, ResultType::Float | ResultType::Unknown) => self.reads_float(&node, 0),
        };
        if float_result {
            let results = node.output.iter().take(facts.float_outputs).filter(|name| !name.is_empty());
            self.activations.extend(results.clone().cloned());
            self.floats.extend(results.cloned());
        }
        self.nodes.push(node);
    }

    /// Keeps a node in f32, which has f32 inputs by now; `any_float`: whether any of them is a float.
    fn node_in_f32(&mut self, node: NodeProto, any_float: bool, beyond: bool, declared: &BTreeMap<String, i32>) {
        let op = node.op_type.clone().unwrap_or_default();
        let facts = OpFacts::of(&op);
        self.kept_by_range.extend((beyond && !facts.stays_f32).then(|| node_name(&node)));
        let undeclared = match (op.as_str(), facts.result) {
            ("Cast" | "Constant" | "ConstantOfShape", _) => makes_f32(&node),
            (_, ResultType::NotFloat) => false,
            (_, ResultType::Float) => true,
            (_, ResultType::Like(_) | ResultType::Unknown) => any_float,
        };
        let results = node.output.iter().take(facts.float_outputs).filter(|name| !name.is_empty());
        let float = |name: &&String| declared.get(*name).map_or(undeclared, |&kind| kind == data_type::FLOAT);
        let floats: Vec<String> = results.filter(float).cloned().collect();
        self.activations.extend(floats.iter().cloned());
        self.singles.extend(floats);
        self.stays_f32.push((node_name(&node), op));
        self.nodes.push(node);
    }

    /// Makes the f32 value of a `Constant` node f16; whether the result is f16.
    fn constant_node(&mut self, node: &mut NodeProto) -> bool {
        let Some(value) = node.attribute.first_mut() else { return false };
        let Some(tensor) = constant_value(value) else { return false };
        if tensor.data_type != Some(data_type::FLOAT) {
            return tensor.data_type == Some(data_type::FLOAT16);
        }
        let (float16, clipped) = values::to_float16(&tensor);
        *value = AttributeProto {
            name: Some("value".to_owned()),
            r#type: Some(attribute_type::TENSOR),
            t: float16.into(),
            ..Default::default()
        };
        self.clipped.extend(node.output.first().filter(|_| clipped).cloned());
        true
    }

    fn reads_float(&self, node: &NodeProto, at: usize) -> bool {
        node.input.get(at).is_some_and(|name| self.floats.contains(name))
    }
}

/// Whether an operator that states the type of its result makes an f32.
fn makes_f32(node: &NodeProto) -> bool {
    let kind = match node.op_type.as_deref() {
        Some("Cast") => int_attribute(node, "to").and_then(|to| i32::try_from(to).ok()),
        Some("Constant") => node.attribute.first().and_then(constant_value).and_then(|tensor| tensor.data_type),
        _ => node.attribute.first().map_or(Some(data_type::FLOAT), |value| value.t.as_option()?.data_type),
    };
    kind == Some(data_type::FLOAT)
}

/// Makes a Cast to f32 one to f16; whether the result is f16.
fn cast_to_float16(node: &mut NodeProto) -> bool {
    let to = node.attribute.iter_mut().find(|attribute| attribute.name.as_deref() == Some("to"));
    let Some(to) = to else { return false };
    if to.i == Some(i64::from(data_type::FLOAT)) {
        to.i = Some(i64::from(data_type::FLOAT16));
    }
    to.i == Some(i64::from(data_type::FLOAT16))
}

/// Makes a ConstantOfShape of f32 one of f16; whether the result is f16.
fn float16_of_shape(node: &mut NodeProto) -> bool {
    let value = node.attribute.iter_mut().find(|attribute| attribute.name.as_deref() == Some("value"));
    let Some(value) = value else {
        // Without a value it is a f32 of 0.
        node.attribute.push(AttributeProto {
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
        *tensor = values::to_float16(tensor).0;
    }
    tensor.data_type == Some(data_type::FLOAT16)
}
