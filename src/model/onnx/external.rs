//! Tensor data in files beside the model: found, checked and mapped, so that after reading a model it looks as if it had
//! been inside.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Component, Path},
};

use super::{
    Bytes, OnnxError,
    proto::{GraphProto, ModelProto, NodeProto, TensorProto, data_type},
};
use crate::tensor::{Mapped, Shape};

/// ONNX's number for data in another file.
pub(super) const EXTERNAL: i32 = 1;

/// Brings the data of every external tensor of a model in, without reading it. Returns the bytes of the files used. A
/// location may be a plain file below the model's folder and nothing else.
pub(super) fn bring_in(model: &mut ModelProto, folder: &Path) -> Result<u64, OnnxError> {
    let mut files = Files { folder, mapped: BTreeMap::new() };
    each_of_model(model, &mut |tensor| files.tensor(tensor))?;
    Ok(files.mapped.values().map(|bytes| bytes.len() as u64).sum())
}

/// The files that a model's external tensors lie in, by their names relative to the model's folder, sorted.
pub(super) fn locations(model: &mut ModelProto) -> Result<Vec<String>, OnnxError> {
    let mut found = BTreeSet::new();
    each_of_model(model, &mut |tensor| {
        if tensor.data_location == Some(EXTERNAL) {
            let wrong = |reason| OnnxError::External { tensor: tensor.name.clone().unwrap_or_default(), reason };
            let location = location(tensor).map_err(wrong)?;
            check(location).map_err(wrong)?;
            found.insert(location.to_owned());
        }
        Ok(())
    })?;
    Ok(found.into_iter().collect())
}

/// Visits every tensor of a model: of its graph, with those of branches and loops, and of its functions.
fn each_of_model(
    model: &mut ModelProto,
    visit: &mut impl FnMut(&mut TensorProto) -> Result<(), OnnxError>,
) -> Result<(), OnnxError> {
    if let Some(graph) = model.graph.as_option_mut() {
        each_tensor(graph, visit)?;
    }
    model.functions.iter_mut().try_for_each(|function| each_of_nodes(&mut function.node, visit))
}

/// Visits every tensor of a graph and its subgraphs.
fn each_tensor(
    graph: &mut GraphProto,
    visit: &mut impl FnMut(&mut TensorProto) -> Result<(), OnnxError>,
) -> Result<(), OnnxError> {
    let sparse = graph.sparse_initializer.iter_mut();
    let sparse =
        sparse.flat_map(|sparse| sparse.values.as_option_mut().into_iter().chain(sparse.indices.as_option_mut()));
    for tensor in graph.initializer.iter_mut().chain(sparse) {
        visit(tensor)?;
    }
    each_of_nodes(&mut graph.node, visit)
}

/// Visits every tensor of some nodes and their subgraphs.
fn each_of_nodes(
    nodes: &mut [NodeProto],
    visit: &mut impl FnMut(&mut TensorProto) -> Result<(), OnnxError>,
) -> Result<(), OnnxError> {
    for attribute in nodes.iter_mut().flat_map(|node| &mut node.attribute) {
        let sparse = attribute.sparse_tensor.as_option_mut().into_iter().chain(&mut attribute.sparse_tensors);
        let sparse =
            sparse.flat_map(|sparse| sparse.values.as_option_mut().into_iter().chain(sparse.indices.as_option_mut()));
        for tensor in sparse {
            visit(tensor)?;
        }
        for tensor in attribute.t.as_option_mut().into_iter().chain(&mut attribute.tensors) {
            visit(tensor)?;
        }
        // As deep as the decoder allowed.
        for graph in attribute.g.as_option_mut().into_iter().chain(&mut attribute.graphs) {
            each_tensor(graph, visit)?;
        }
    }
    Ok(())
}

/// An entry of where a tensor's data is.
fn entry<'a>(tensor: &'a TensorProto, key: &str) -> Option<&'a str> {
    tensor.external_data.iter().find(|e| e.key.as_deref() == Some(key))?.value.as_deref()
}

fn location(tensor: &TensorProto) -> Result<&str, String> {
    entry(tensor, "location").ok_or_else(|| "it has no location".to_owned())
}

/// Whether a location is a plain name of a file below the model's folder.
fn check(location: &str) -> Result<(), String> {
    let plain = Path::new(location).components().all(|part| matches!(part, Component::Normal(_)));
    // A backslash leads nowhere here, but would where the model is used; a zero byte ends the name early.
    if location.is_empty() || !plain || location.contains(['\\', '\0']) {
        return Err(format!("its location `{}` leaves the model's folder", location.escape_debug()));
    }
    Ok(())
}

struct Files<'a> {
    folder: &'a Path,
    mapped: BTreeMap<String, Bytes>,
}

impl Files<'_> {
    fn tensor(&mut self, tensor: &mut TensorProto) -> Result<(), OnnxError> {
        if tensor.data_location != Some(EXTERNAL) {
            return Ok(());
        }
        let name = tensor.name.clone().unwrap_or_default();
        let wrong = |reason: String| OnnxError::External { tensor: name.clone(), reason };
        let number = |key: &str| match entry(tensor, key) {
            None => Ok(None),
            Some(text) => text.parse::<usize>().map(Some).map_err(|_| wrong(format!("its {key} is `{text}`"))),
        };
        let location = location(tensor).map_err(wrong)?;
        let (offset, length) = (number("offset")?.unwrap_or(0), number("length")?);
        let file = self.file(location).map_err(wrong)?;
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
        check(location)?;
        let mut place = self.folder.to_owned();
        for part in Path::new(location).components() {
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
