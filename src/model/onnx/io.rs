//! Reading and writing model files.

use std::path::Path;

use buffa::{DecodeOptions, bytes::Bytes};

use super::{
    Graph, OnnxError,
    check::check,
    external::{bring_in, locations},
    functions,
    node::is_own_domain,
    proto::{ModelProto, OperatorSetIdProto},
};
use crate::tensor::Mapped;

/// A model in memory. Tensor data stays in the mapped file until it is changed.
#[derive(Clone, Debug)]
pub struct Model {
    /// Everything but the graph.
    frame: ModelProto,
    graph: Graph,
    opset: i64,
    /// Size of the files it was read from.
    pub file_bytes: u64,
    /// Whether some of its tensors lay in files beside it.
    pub external: bool,
}

/// Decodes a file. Returns its size as well.
fn decode(path: &Path) -> Result<(ModelProto, usize), OnnxError> {
    // As deep as nested control flow ever is, and no deeper: a hostile file must not exhaust the stack.
    const DEEPEST_NESTING: u32 = 64;
    let map = Mapped::open(path).map_err(|source| OnnxError::Read { path: path.to_owned(), source })?;
    let file_bytes = map.as_ref().len();
    let mut bytes = Bytes::from_owner(map);
    let proto = DecodeOptions::new()
        .with_recursion_limit(DEEPEST_NESTING)
        .with_max_message_size(file_bytes)
        .decode(&mut bytes)
        .map_err(|e| OnnxError::Decode { path: path.to_owned(), reason: e.to_string() })?;
    Ok((proto, file_bytes))
}

/// The files beside a model that its tensors lie in, by their names relative to its folder, sorted. They need not be there.
pub fn external_files(path: &Path) -> Result<Vec<String>, OnnxError> {
    let (mut proto, _) = decode(path)?;
    locations(&mut proto)
}

impl Model {
    /// Reads a file and checks its graph. Nothing is allocated for sizes that the file only claims.
    pub fn read(path: &Path) -> Result<Self, OnnxError> {
        let (mut proto, file_bytes) = decode(path)?;
        let data_bytes = bring_in(&mut proto, path.parent().unwrap_or(Path::new("")))?;
        let model = Model::from_proto(proto, path)?;
        Ok(Model { file_bytes: file_bytes as u64 + data_bytes, external: data_bytes > 0, ..model })
    }

    /// A model that the file at `path` holds, its tensors' data brought in.
    pub(super) fn from_proto(mut frame: ModelProto, path: &Path) -> Result<Self, OnnxError> {
        let incomplete = |what| OnnxError::Incomplete { path: path.to_owned(), what };
        let graph = frame.graph.take().ok_or_else(|| incomplete("graph"))?;
        functions::check(&frame.functions, &graph)?;
        let opset = default_opset(&frame).ok_or_else(|| incomplete("opset version"))?;
        let graph = Graph::new(graph)?;
        check(&graph)?;
        Ok(Model { frame, graph, opset, file_bytes: 0, external: false })
    }

    /// The version of ONNX's own operator set.
    pub fn opset(&self) -> i64 {
        self.opset
    }

    /// The main graph; those of branches and loops are attributes of its nodes.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The main graph, to be changed.
    pub fn graph_mut(&mut self) -> &mut Graph {
        &mut self.graph
    }

    /// Adds an operator domain, if it is not imported yet.
    pub fn import(&mut self, domain: &str, version: i64) {
        let known = self.frame.opset_import.iter().any(|import| import.domain.as_deref() == Some(domain));
        if !known {
            self.frame.opset_import.push(OperatorSetIdProto {
                domain: Some(domain.to_owned()),
                version: Some(version),
                ..Default::default()
            });
        }
    }

    /// The message without the graph.
    pub(super) fn frame(&self) -> &ModelProto {
        &self.frame
    }

    /// States a format of file in which initializers need not be among the inputs, as new ones are not.
    pub fn take_new_initializers(&mut self) {
        const LEAST_IR: i64 = 4;
        self.frame.ir_version = self.frame.ir_version.max(Some(LEAST_IR));
    }

    /// States a later version of ONNX's own operator set, and a format of file that knows of it.
    pub(super) fn state_opset(&mut self, opset: i64) {
        for import in &mut self.frame.opset_import {
            if is_own_domain(import.domain.as_deref()) {
                import.version = Some(opset);
            }
        }
        self.opset = opset;
        let least_ir = match opset {
            21.. => 10,
            19.. => 9,
            15.. => 8,
            _ => 7,
        };
        self.frame.ir_version = self.frame.ir_version.max(Some(least_ir));
    }
}

fn default_opset(proto: &ModelProto) -> Option<i64> {
    let own = proto.opset_import.iter().find(|o| is_own_domain(o.domain.as_deref()));
    own.and_then(|import| import.version)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::model::onnx::ModelWriter;

    fn field(tag: u8, bytes: &[u8]) -> Vec<u8> {
        [&[tag, bytes.len() as u8], bytes].concat()
    }

    /// A model with a field (ModelProto 20, `training_info`) and a node field (NodeProto 8, `overload`) that our schema
    /// does not name, in the order in which the writer has the fields.
    fn with_unknown_fields() -> Vec<u8> {
        let node = [b"\x0a\x01x\x12\x01y\x22\x04Relu".as_slice(), b"\x42\x03abc"].concat();
        let [input, output] = [b"x", b"y"].map(|name| field(0x0a, name));
        let graph = [field(0x0a, &node), field(0x5a, &input), field(0x62, &output)].concat();
        let training_info = b"\xa2\x01\x04\x0a\x02\x12\x00";
        [b"\x08\x0a\x42\x02\x10\x0d", &training_info[..], &field(0x3a, &graph)].concat()
    }

    #[test]
    fn fields_that_the_schema_does_not_name_survive() {
        let folder = tempfile::tempdir().unwrap();
        let (path, again) = (folder.path().join("a.onnx"), folder.path().join("b.onnx"));
        fs::write(&path, with_unknown_fields()).unwrap();
        let model = Model::read(&path).unwrap();
        let node = model.graph().node_at(0).unwrap();
        assert_eq!((model.opset(), model.graph().op(node)), (13, Some("Relu")));
        ModelWriter::create(&again, &model, &[], false).unwrap().finish().unwrap();
        assert_eq!(fs::read(again).unwrap(), with_unknown_fields());
    }

    #[test]
    fn what_is_not_a_model_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.onnx");
        let whole = with_unknown_fields();
        for bytes in [&whole[..whole.len() - 3], b"\x89PNG\r\n", b"\x08\x0a", b"", &b"\x3a\xff\xff\xff\xff\x0f"[..]] {
            fs::write(&path, bytes).unwrap();
            let error = Model::read(&path).unwrap_err();
            assert!(matches!(error, OnnxError::Decode { .. } | OnnxError::Incomplete { .. }), "{bytes:?}: {error}");
        }
    }
}
