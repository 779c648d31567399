//! [`warm_up`]: what the engine does once in a process, before anybody waits for it.

use buffa::Message;
use ort::session::Session as OrtSession;

use super::{EngineConfig, EngineError, failure::During, library::environment};
use crate::model::onnx::{
    new_node,
    proto::{
        GraphProto, ModelProto, OperatorSetIdProto, TensorShapeProto, TypeProto, ValueInfoProto, data_type, type_proto,
    },
};

/// Loads the engine's library and, with it, the smallest model there is: the first session of a process registers every
/// operator, which takes longer than a small job. No thread is left.
pub fn warm_up(config: &EngineConfig) -> Result<(), EngineError> {
    let environment = environment(config)?;
    let setup = |e: ort::Error| During::Setup.failed(&e);
    let builder = OrtSession::builder(&environment).map_err(setup)?;
    let mut builder = builder.with_intra_threads(1).map_err(|e| setup(e.into()))?;
    let model = smallest().encode_to_vec();
    builder.commit_from_memory(&model).map(drop).map_err(|e| During::Load.failed(&e))
}

/// `y = Relu(x)` of one number.
fn smallest() -> ModelProto {
    let number = |name: &str| {
        let tensor = type_proto::TensorTypeProto {
            elem_type: Some(data_type::FLOAT),
            shape: TensorShapeProto::default().into(),
            ..Default::default()
        };
        let kind = TypeProto { value: Some(type_proto::Value::TensorType(Box::new(tensor))), ..Default::default() };
        ValueInfoProto { name: Some(name.to_owned()), r#type: kind.into(), ..Default::default() }
    };
    let graph = GraphProto {
        name: Some("smallest".to_owned()),
        node: vec![new_node("Relu", "", vec!["x".to_owned()], "y")],
        input: vec![number("x")],
        output: vec![number("y")],
        ..Default::default()
    };
    let opset = OperatorSetIdProto { version: Some(13), ..Default::default() };
    ModelProto { ir_version: Some(8), graph: graph.into(), opset_import: vec![opset], ..Default::default() }
}
