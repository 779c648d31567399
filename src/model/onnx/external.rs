//! Tensor data in files beside the model: found, checked and mapped, so that after reading a model it looks as if it had
//! been inside.

use std::{
    collections::BTreeMap,
    fs,
    path::{Component, Path},
};

use buffa::bytes::Bytes;

use super::{
    OnnxError,
    proto::{GraphProto, TensorProto, data_type},
};
use crate::tensor::{Mapped, Shape};

/// ONNX's number for data in another file.
pub(super) const EXTERNAL: i32 = 1;

/// Brings the data of every external tensor of a graph and its subgraphs in, without reading it. Returns the bytes of the
/// files used. A location may be a plain file below the model's folder and nothing else.
pub(super) fn bring_in(graph: &mut GraphProto, folder: &Path) -> Result<u64, OnnxError> {
    let mut files = Files { folder, mapped: BTreeMap::new() };
    files.graph(graph)?;
    Ok(files.mapped.values().map(|bytes| bytes.len() as u64).sum())
}

struct Files<'a> {
    folder: &'a Path,
    mapped: BTreeMap<String, Bytes>,
}

impl Files<'_> {
    fn graph(&mut self, graph: &mut GraphProto) -> Result<(), OnnxError> {
        for tensor in &mut graph.initializer {
            self.tensor(tensor)?;
        }
        for attribute in graph.node.iter_mut().flat_map(|node| &mut node.attribute) {
            for tensor in attribute.t.as_option_mut().into_iter().chain(&mut attribute.tensors) {
                self.tensor(tensor)?;
            }
            // As deep as the decoder allowed.
            for graph in attribute.g.as_option_mut().into_iter().chain(&mut attribute.graphs) {
                self.graph(graph)?;
            }
        }
        Ok(())
    }

    fn tensor(&mut self, tensor: &mut TensorProto) -> Result<(), OnnxError> {
        if tensor.data_location != Some(EXTERNAL) {
            return Ok(());
        }
        let name = tensor.name.clone().unwrap_or_default();
        let wrong = |reason: String| OnnxError::External { tensor: name.clone(), reason };
        let entry = |key: &str| tensor.external_data.iter().find(|e| e.key.as_deref() == Some(key))?.value.as_deref();
        let number = |key: &str| match entry(key) {
            None => Ok(None),
            Some(text) => text.parse::<usize>().map(Some).map_err(|_| wrong(format!("its {key} is `{text}`"))),
        };
        let location = entry("location").ok_or_else(|| wrong("it has no location".to_owned()))?;
        let (offset, length) = (number("offset")?.unwrap_or(0), number("length")?);
        let file = self.file(location).map_err(&wrong)?;
        let end = length.map_or(Some(file.len()), |length| offset.checked_add(length));
        let end = end.filter(|&end| offset <= end && end <= file.len()).ok_or_else(|| {
            wrong(format!("its bytes {offset}+{} lie beyond the end of {location}", length.unwrap_or(0)))
        })?;
        let bytes = file.slice(offset..end);
        let expected = Shape::from_signed(&tensor.dims).ok().zip(data_type::bits(tensor.data_type.unwrap_or(0)));
        if let Some(needed) = expected.and_then(|(shape, bits)| shape.bytes(bits)).filter(|&n| n != bytes.len()) {
            return Err(OnnxError::Length { tensor: name, found: bytes.len(), expected: needed });
        }
        tensor.raw_data = Some(bytes);
        tensor.data_location = None;
        tensor.external_data.clear();
        Ok(())
    }

    fn file(&mut self, location: &str) -> Result<Bytes, String> {
        if let Some(bytes) = self.mapped.get(location) {
            return Ok(bytes.clone());
        }
        let path = Path::new(location);
        if location.is_empty() || !path.components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(format!("its location `{location}` leaves the model's folder"));
        }
        let mut place = self.folder.to_owned();
        for part in path.components() {
            place.push(part);
            // Not followed: a link in a model's folder may point anywhere.
            let metadata = fs::symlink_metadata(&place).map_err(|e| format!("`{location}` cannot be read: {e}"))?;
            if metadata.is_symlink() {
                return Err(format!("`{location}` is a link"));
            }
        }
        if !place.is_file() {
            return Err(format!("`{location}` is not a file"));
        }
        let map = Mapped::open(&place).map_err(|e| format!("`{location}` cannot be read: {e}"))?;
        let bytes = Bytes::from_owner(map);
        self.mapped.insert(location.to_owned(), bytes.clone());
        Ok(bytes)
    }
}
