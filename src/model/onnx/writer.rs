//! [`ModelWriter`]: a model file whose large tensors are written later, part by part, into places laid out before.
//!
//! A model that protobuf can hold stays one file: fields of a message may come in any order and pieces, so the graph is
//! written with its small parts first and its large tensors behind them. A larger one has its tensors in a second file.

use std::{collections::BTreeMap, io, iter, os::unix::fs::FileExt, path::Path};

use buffa::Message;

use super::{
    Model, OnnxError,
    external::EXTERNAL,
    proto::{GraphProto, StringStringEntryProto, TensorProto},
};
use crate::{files::PartialFile, tensor::Shape};

/// Where the second file begins to be needed: protobuf ends at 2 GiB, and some readers a little before.
const LARGEST_MESSAGE: u64 = 1_900_000_000;
/// Tensors in the second file begin at multiples of a page, so that runtimes can map them.
const ALIGNMENT: u64 = 4096;
/// The suffix of the second file.
const DATA_SUFFIX: &str = ".data";

/// A tensor that is written later.
#[derive(Clone, Debug)]
pub struct DeferredTensor {
    /// The name of its initializer.
    pub name: String,
    /// ONNX's number of its element type.
    pub element: i32,
    /// Bits of an element.
    pub bits: usize,
    /// Its shape, which with `bits` gives the bytes that are to be written.
    pub shape: Shape,
}

impl DeferredTensor {
    /// Its size in bytes.
    pub fn bytes(&self) -> u64 {
        self.shape.bytes(self.bits).map_or(0, |n| n as u64)
    }

    fn proto(&self) -> TensorProto {
        TensorProto {
            name: Some(self.name.clone()),
            dims: self.shape.dims().iter().map(|&d| d as i64).collect(),
            data_type: Some(self.element),
            ..Default::default()
        }
    }
}

/// Writes under temporary names until [`ModelWriter::finish`].
#[derive(Debug)]
pub struct ModelWriter {
    /// The file that holds the tensors.
    tensors: PartialFile,
    /// The file of the message, where the tensors have one of their own.
    message: Option<PartialFile>,
    places: BTreeMap<String, (u64, u64)>,
}

impl ModelWriter {
    /// Writes all of `model` and lays out the tensors, which become initializers. `external` asks for the second file
    /// whatever the size.
    pub fn create(path: &Path, model: &Model, tensors: &[DeferredTensor], external: bool) -> Result<Self, OnnxError> {
        let (outside, graph) = (encode(model.frame())?, encode(&model.graph().to_proto())?);
        let deferred: u64 = tensors.iter().map(|tensor| tensor.bytes() + 1024).sum();
        if external || (outside.len() + graph.len()) as u64 + deferred > LARGEST_MESSAGE {
            return Self::two_files(path, &outside, &graph, tensors);
        }
        // Each tensor: what it is, then the tag and length of `raw_data`, then its bytes.
        let mut pieces = Vec::new();
        for tensor in tensors {
            let mut inner = encode(&tensor.proto())?;
            tag(RAW_DATA, tensor.bytes(), &mut inner);
            let mut piece = Vec::new();
            tag(INITIALIZER, inner.len() as u64 + tensor.bytes(), &mut piece);
            piece.extend(inner);
            pieces.push(piece);
        }
        let graph_bytes = graph.len() as u64
            + pieces.iter().zip(tensors).map(|(piece, tensor)| piece.len() as u64 + tensor.bytes()).sum::<u64>();
        let mut head = outside;
        tag(GRAPH, graph_bytes, &mut head);
        head.extend(graph);

        let mut writer = ModelWriter { tensors: open(path)?, message: None, places: BTreeMap::new() };
        writer.put(0, &head)?;
        let mut end = head.len() as u64;
        for (piece, tensor) in pieces.iter().zip(tensors) {
            writer.put(end, piece)?;
            let start = end + piece.len() as u64;
            end = start + tensor.bytes();
            writer.places.insert(tensor.name.clone(), (start, tensor.bytes()));
        }
        writer.size(end)
    }

    fn two_files(path: &Path, outside: &[u8], graph: &[u8], tensors: &[DeferredTensor]) -> Result<Self, OnnxError> {
        let mut data_name = path.file_name().unwrap_or_default().to_os_string();
        data_name.push(DATA_SUFFIX);
        let location = data_name.to_string_lossy().into_owned();
        let mut places = BTreeMap::new();
        let (mut end, mut more) = (0u64, GraphProto::default());
        for tensor in tensors {
            let start = end.next_multiple_of(ALIGNMENT);
            end = start + tensor.bytes();
            places.insert(tensor.name.clone(), (start, tensor.bytes()));
            let entry = |key: &str, value: String| StringStringEntryProto {
                key: Some(key.to_owned()),
                value: Some(value),
                ..Default::default()
            };
            let external_data = vec![
                entry("location", location.clone()),
                entry("offset", start.to_string()),
                entry("length", tensor.bytes().to_string()),
            ];
            more.initializer.push(TensorProto { external_data, data_location: Some(EXTERNAL), ..tensor.proto() });
        }
        let more = encode(&more)?;
        let mut message = outside.to_vec();
        tag(GRAPH, (graph.len() + more.len()) as u64, &mut message);
        message.extend_from_slice(graph);
        message.extend(more);
        if message.len() as u64 > LARGEST_MESSAGE {
            return Err(OnnxError::TooLarge);
        }
        let file = open(path)?;
        file.file().write_all_at(&message, 0).map_err(|source| OnnxError::Write { path: path.to_owned(), source })?;
        let tensors = open(&path.with_file_name(data_name))?;
        ModelWriter { tensors, message: Some(file), places }.size(end)
    }

    fn size(self, bytes: u64) -> Result<Self, OnnxError> {
        self.tensors.file().set_len(bytes).map_err(|source| self.failed(source))?;
        Ok(self)
    }

    fn failed(&self, source: io::Error) -> OnnxError {
        OnnxError::Write { path: self.tensors.path().to_owned(), source }
    }

    fn put(&self, position: u64, bytes: &[u8]) -> Result<(), OnnxError> {
        self.tensors.file().write_all_at(bytes, position).map_err(|source| self.failed(source))
    }

    /// Writes a part of a tensor, `offset` bytes from its start.
    pub fn write(&self, tensor: &str, offset: u64, bytes: &[u8]) -> Result<(), OnnxError> {
        match self.places.get(tensor) {
            Some(&(start, length)) if offset.checked_add(bytes.len() as u64).is_some_and(|end| end <= length) => {
                self.put(start + offset, bytes)
            }
            _ => Err(self.failed(io::Error::other(format!("{} bytes of `{tensor}` were not laid out", bytes.len())))),
        }
    }

    /// Gives the files their names: each with its size.
    pub fn finish(self) -> Result<Vec<(String, u64)>, OnnxError> {
        let mut files = Vec::new();
        // The data first, so that a model with its final name has its data beside it.
        for file in iter::once(self.tensors).chain(self.message) {
            let path = file.path().to_owned();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            files.push((name, file.finish().map_err(|source| OnnxError::Write { path, source })?));
        }
        files.sort();
        Ok(files)
    }
}

const GRAPH: u64 = 7;
const INITIALIZER: u64 = 5;
const RAW_DATA: u64 = 9;

/// The tag of a length-delimited field, and its length.
fn tag(field: u64, length: u64, out: &mut Vec<u8>) {
    for mut number in [field << 3 | 2, length] {
        while number >= 0x80 {
            out.push(number as u8 | 0x80);
            number >>= 7;
        }
        out.push(number as u8);
    }
}

fn encode(message: &impl Message) -> Result<Vec<u8>, OnnxError> {
    message.try_encode_to_vec().map_err(|_| OnnxError::TooLarge)
}

fn open(path: &Path) -> Result<PartialFile, OnnxError> {
    PartialFile::create(path).map_err(|source| OnnxError::Write { path: path.to_owned(), source })
}
