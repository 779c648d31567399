//! Reading and writing model files.

use std::{fs, io, path::Path};

use buffa::{DecodeOptions, Message, bytes::Bytes};

use super::{
    OnnxError,
    external::{bring_in, locations},
    node::is_own_domain,
    proto::{GraphProto, ModelProto},
};
use crate::tensor::Mapped;

/// A model in memory. Tensor data stays in the mapped file until it is changed.
#[derive(Clone, Debug)]
pub struct Model {
    proto: ModelProto,
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
    locations(proto.graph.get_or_insert_default())
}

impl Model {
    /// Reads a file. Nothing is allocated for sizes that the file only claims.
    pub fn read(path: &Path) -> Result<Self, OnnxError> {
        let (mut proto, file_bytes) = decode(path)?;
        let incomplete = |what| OnnxError::Incomplete { path: path.to_owned(), what };
        let graph = proto.graph.as_option().ok_or_else(|| incomplete("graph"))?;
        if graph.node.is_empty() {
            return Err(incomplete("node"));
        }
        let opset = default_opset(&proto).ok_or_else(|| incomplete("opset version"))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let data_bytes = bring_in(proto.graph.get_or_insert_default(), folder)?;
        Ok(Model { proto, opset, file_bytes: file_bytes as u64 + data_bytes, external: data_bytes > 0 })
    }

    /// The version of ONNX's own operator set.
    pub fn opset(&self) -> i64 {
        self.opset
    }

    /// The main graph.
    pub fn graph(&self) -> &GraphProto {
        &self.proto.graph
    }

    /// The main graph, to be changed.
    pub fn graph_mut(&mut self) -> &mut GraphProto {
        self.proto.graph.get_or_insert_default()
    }

    /// Adds an operator domain, if it is not imported yet.
    pub fn import(&mut self, domain: &str, version: i64) {
        let known = self.proto.opset_import.iter().any(|import| import.domain.as_deref() == Some(domain));
        if !known {
            self.proto.opset_import.push(super::proto::OperatorSetIdProto {
                domain: Some(domain.to_owned()),
                version: Some(version),
                ..Default::default()
            });
        }
    }

    /// The whole message.
    pub(super) fn proto(&self) -> &ModelProto {
        &self.proto
    }

    /// The whole message, to be changed along with the version that it states.
    pub(super) fn proto_mut(&mut self) -> (&mut ModelProto, &mut i64) {
        (&mut self.proto, &mut self.opset)
    }

    /// The serialized model. The same model gives the same bytes.
    pub fn to_bytes(&self) -> Result<Vec<u8>, OnnxError> {
        self.proto.try_encode_to_vec().map_err(|_| OnnxError::TooLarge)
    }

    /// Writes under a temporary name and renames, so a file with the final name is whole. Returns its bytes.
    pub fn write(&self, path: &Path) -> Result<Vec<u8>, OnnxError> {
        let bytes = self.to_bytes()?;
        let temporary = path.with_extension("onnx.partial");
        let result: io::Result<()> = fs::write(&temporary, &bytes).and_then(|()| fs::rename(&temporary, path));
        result.map_err(|source| OnnxError::Write { path: path.to_owned(), source })?;
        Ok(bytes)
    }
}

fn default_opset(proto: &ModelProto) -> Option<i64> {
    let own = proto.opset_import.iter().find(|o| is_own_domain(o.domain.as_deref()));
    own.and_then(|import| import.version)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A model with a field (ModelProto 20, `training_info`) and a node field (NodeProto 8, `overload`) that our schema
    /// does not name.
    fn with_unknown_fields() -> Vec<u8> {
        let node = [b"\x0a\x01x\x12\x01y\x22\x04Relu".as_slice(), b"\x42\x03abc"].concat();
        let graph = [&[0x0a, node.len() as u8][..], &node].concat();
        let training_info = b"\xa2\x01\x04\x0a\x02\x12\x00";
        [b"\x08\x0a\x3a", &[graph.len() as u8][..], &graph, b"\x42\x02\x10\x0d", training_info].concat()
    }

    #[test]
    fn fields_that_the_schema_does_not_name_survive() {
        let folder = tempfile::tempdir().unwrap();
        let (path, again) = (folder.path().join("a.onnx"), folder.path().join("b.onnx"));
        fs::write(&path, with_unknown_fields()).unwrap();
        let model = Model::read(&path).unwrap();
        assert_eq!((model.opset(), model.graph().node[0].op_type.as_deref()), (13, Some("Relu")));
        model.write(&again).unwrap();
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
