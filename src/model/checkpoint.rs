//! [`Checkpoint`]: named tensors in one or several files, their bytes mapped. What the readers of safetensors and of
//! PyTorch's files make, and all that a backend sees of them.

use std::{borrow::Cow, collections::BTreeMap, ops::Range, path::PathBuf};

use safetensors::Dtype;

use crate::{
    numeric::FloatFormat,
    tensor::{Mapped, Shape},
};

/// One tensor of a shard.
#[derive(Clone, Debug)]
pub struct TensorInfo {
    /// Its name in the state dict.
    pub name: String,
    /// Its element type, one whose elements are whole bytes if `strides` are given.
    pub dtype: Dtype,
    /// Its shape, empty for a scalar.
    pub shape: Shape,
    /// Where its bytes lie in the file; with strides, from its first element to the end of its storage.
    pub(super) range: Range<usize>,
    /// Elements between neighbours along each axis; `None` for row-major order without gaps.
    pub(super) strides: Option<Vec<usize>>,
}

impl TensorInfo {
    /// The float format, if it is one that can be quantized.
    pub fn float_format(&self) -> Option<FloatFormat> {
        match self.dtype {
            Dtype::F32 => Some(FloatFormat::F32),
            Dtype::F16 => Some(FloatFormat::F16),
            Dtype::BF16 => Some(FloatFormat::Bf16),
            _ => None,
        }
    }

    /// Its size in bytes, in row-major order without gaps.
    pub fn bytes(&self) -> usize {
        self.shape.bytes(self.dtype.bitsize()).unwrap_or(0)
    }

    /// Whether two tensors of one shard are the same elements under two names.
    pub fn is_tied_to(&self, other: &TensorInfo) -> bool {
        !self.range.is_empty()
            && self.bytes() > 0
            && (self.dtype, &self.shape, &self.range, &self.strides)
                == (other.dtype, &other.shape, &other.range, &other.strides)
    }
}

/// One file of a checkpoint.
#[derive(Debug)]
pub struct Shard {
    /// The file's name, without its folder.
    pub file_name: String,
    /// Its tensors, in the order of their bytes.
    pub tensors: Vec<TensorInfo>,
    /// The header's free-form metadata.
    pub metadata: BTreeMap<String, String>,
    pub(super) map: Mapped,
}

impl Shard {
    /// Some bytes of one of this shard's tensors, counted in row-major order without gaps.
    ///
    /// Borrowed from the file unless the tensor has strides; then the range begins and ends between elements.
    pub fn read(&self, tensor: &TensorInfo, bytes: Range<usize>) -> Cow<'_, [u8]> {
        self.map.count_read(bytes.len());
        let stored = self.map.as_ref().get(tensor.range.clone()).unwrap_or_default();
        match &tensor.strides {
            None => Cow::Borrowed(stored.get(bytes).unwrap_or_default()),
            Some(strides) => Cow::Owned(gather(stored, tensor, strides, bytes)),
        }
    }

    /// All bytes of one of this shard's tensors.
    pub fn bytes(&self, tensor: &TensorInfo) -> Cow<'_, [u8]> {
        self.read(tensor, 0..tensor.bytes())
    }

    /// The file's size in bytes.
    pub fn file_bytes(&self) -> u64 {
        self.map.as_ref().len() as u64
    }
}

/// The elements of a strided tensor, one after the other.
fn gather(stored: &[u8], tensor: &TensorInfo, strides: &[usize], bytes: Range<usize>) -> Vec<u8> {
    let size = tensor.dtype.bitsize() / 8;
    let dims = tensor.shape.dims();
    let mut out = Vec::with_capacity(bytes.len());
    for element in bytes.start / size..bytes.end / size {
        let (mut rest, mut at) = (element, 0);
        for (dim, stride) in dims.iter().zip(strides).rev() {
            at += rest % dim * stride;
            rest /= dim;
        }
        out.extend_from_slice(stored.get(at * size..(at + 1) * size).unwrap_or_default());
    }
    out
}

/// A checkpoint with all its shards, their headers read and their files mapped.
#[derive(Debug)]
pub struct Checkpoint {
    /// The folder of the shards.
    pub folder: PathBuf,
    /// The shards, sorted by file name.
    pub shards: Vec<Shard>,
    /// Files of the folder that are neither shards nor index (`config.json`, tokenizer…), sorted; only of a folder.
    pub side_files: Vec<String>,
}

impl Checkpoint {
    /// Every tensor with its shard, in the order of the files.
    pub fn tensors(&self) -> impl Iterator<Item = (&Shard, &TensorInfo)> {
        self.shards.iter().flat_map(|shard| shard.tensors.iter().map(move |tensor| (shard, tensor)))
    }
}
