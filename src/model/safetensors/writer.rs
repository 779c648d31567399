//! [`ShardWriter`]: a safetensors file whose header is written first and whose tensors follow in any order.

use std::{collections::BTreeMap, io, os::unix::fs::FileExt, path::Path};

use serde_json::{Map, Value, json};

use super::SafetensorsError;
use crate::{files::PartialFile, tensor::Shape};

/// A tensor to be written.
#[derive(Clone, Debug)]
pub struct OutTensor {
    /// Its name in the header.
    pub name: String,
    /// Its element type as the header spells it.
    pub dtype: String,
    /// Bits of an element of `dtype`.
    pub bits: usize,
    /// Its shape, in elements of `dtype`.
    pub shape: Shape,
}

impl OutTensor {
    /// Its size in bytes.
    pub fn bytes(&self) -> u64 {
        self.shape.bytes(self.bits).map_or(0, |n| n as u64)
    }
}

/// Writes under a temporary name until [`ShardWriter::finish`], so a file with the final name is whole.
#[derive(Debug)]
pub struct ShardWriter {
    file: PartialFile,
    /// Name to position and length.
    places: BTreeMap<String, (u64, u64)>,
}

impl ShardWriter {
    /// Lays out the tensors, widest elements first and then by name, so that each is aligned to its element.
    pub fn create(
        path: &Path,
        mut tensors: Vec<OutTensor>,
        metadata: &BTreeMap<String, String>,
    ) -> Result<Self, SafetensorsError> {
        tensors.sort_by(|a, b| b.bits.cmp(&a.bits).then_with(|| a.name.cmp(&b.name)));
        let mut header = Map::new();
        if !metadata.is_empty() {
            header.insert("__metadata__".to_owned(), json!(metadata));
        }
        let mut end = 0u64;
        let mut places = BTreeMap::new();
        for tensor in &tensors {
            let start = end;
            end += tensor.bytes();
            places.insert(tensor.name.clone(), (start, end - start));
            header.insert(
                tensor.name.clone(),
                json!({"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": [start, end]}),
            );
        }
        let mut text = Value::Object(header).to_string().into_bytes();
        text.resize(text.len().next_multiple_of(8), b' ');
        let data = 8 + text.len() as u64;
        places.values_mut().for_each(|place| place.0 += data);

        let write = |source| SafetensorsError::Write { path: path.to_owned(), source };
        let writer = ShardWriter { file: PartialFile::create(path).map_err(write)?, places };
        writer.file.file().set_len(data + end).map_err(write)?;
        writer.at(0, &(text.len() as u64).to_le_bytes())?;
        writer.at(8, &text)?;
        Ok(writer)
    }

    fn failed(&self, source: io::Error) -> SafetensorsError {
        SafetensorsError::Write { path: self.file.path().to_owned(), source }
    }

    fn at(&self, position: u64, bytes: &[u8]) -> Result<(), SafetensorsError> {
        self.file.file().write_all_at(bytes, position).map_err(|source| self.failed(source))
    }

    /// Writes a part of a tensor, `offset` bytes from its start.
    pub fn write(&self, tensor: &str, offset: u64, bytes: &[u8]) -> Result<(), SafetensorsError> {
        match self.places.get(tensor) {
            Some(&(start, length)) if offset.checked_add(bytes.len() as u64).is_some_and(|end| end <= length) => {
                self.at(start + offset, bytes)
            }
            _ => {
                let reason = format!("{} bytes at {offset} of `{tensor}` were not laid out", bytes.len());
                Err(self.failed(io::Error::other(reason)))
            }
        }
    }

    /// Gives the file its name. Returns its size. Not synced to the disk: waiting for that would take longer than all
    /// the rest, and a result counts only once it is published.
    pub fn finish(self) -> Result<u64, SafetensorsError> {
        let path = self.file.path().to_owned();
        self.file.finish().map_err(|source| SafetensorsError::Write { path, source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::safetensors::open;

    fn tensor(name: &str, dtype: &str, bits: usize, dims: &[usize]) -> OutTensor {
        OutTensor { name: name.into(), dtype: dtype.into(), bits, shape: Shape::new(dims.to_vec()).unwrap() }
    }

    #[test]
    fn what_is_written_is_read_back_and_wide_elements_are_aligned() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.safetensors");
        let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
        let tensors = vec![tensor("a", "I8", 8, &[3]), tensor("b", "F32", 32, &[2]), tensor("empty", "I8", 8, &[0])];
        let writer = ShardWriter::create(&path, tensors, &metadata).unwrap();
        writer.write("a", 1, &[2, 3]).unwrap();
        writer.write("b", 0, &[9; 8]).unwrap();
        writer.write("a", 0, &[1]).unwrap();
        assert!(writer.write("a", 2, &[1, 1]).is_err(), "beyond the tensor's end");
        assert!(!path.exists());
        writer.finish().unwrap();

        let read = open(&path).unwrap();
        let shard = &read.shards[0];
        let found: Vec<_> = shard.tensors.iter().map(|t| (t.name.as_str(), shard.bytes(t).into_owned())).collect();
        assert_eq!(found, [("b", vec![9u8; 8]), ("a", vec![1, 2, 3]), ("empty", vec![])]);
        assert_eq!(shard.metadata, metadata);
    }
}
