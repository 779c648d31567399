//! [`ShardLayout`]: the tensors of a shard's new file.

use super::opened::OpenedCheckpoint;
use crate::{
    backend::{BackendError, layouts::Entry, weights::EncodedWeight},
    model::safetensors::OutTensor,
};

/// The tensors of a shard's new file.
#[derive(Debug, Default)]
pub(super) struct ShardLayout {
    /// All, in the order of the old file.
    pub(super) tensors: Vec<OutTensor>,
    /// Those that make up each weight, in the order of the weights.
    pub(super) weights: Vec<EncodedWeight>,
}

impl ShardLayout {
    /// Where the tensors of a shard go.
    pub(super) fn new(opened: &OpenedCheckpoint, entries: &[Entry<'_>], shard: usize) -> Result<Self, BackendError> {
        let mut new = ShardLayout::default();
        for entry in opened.stored(entries, opened.range(shard)) {
            match entry.weight {
                Some(weight) => {
                    let encoded = opened.layout.form.tensors(entry.tensor, weight)?;
                    new.tensors.extend(encoded.tensors().cloned());
                    new.weights.push(encoded);
                }
                None => new.tensors.push(OutTensor {
                    name: entry.tensor.name.clone(),
                    dtype: format!("{:?}", entry.tensor.dtype),
                    bits: entry.tensor.dtype.bitsize(),
                    shape: entry.tensor.shape.clone(),
                }),
            }
        }
        Ok(new)
    }

    /// The bytes of all tensors.
    pub(super) fn bytes(&self) -> u64 {
        self.tensors.iter().map(OutTensor::bytes).sum()
    }
}
