//! What a weight becomes: how it is quantized, and the tensors that take its place, whatever the format of the file.

use crate::{
    model::safetensors::OutTensor,
    numeric::FloatFormat,
    quant::{Grid, Packing, Scheme},
};

/// A weight that is going to be quantized.
#[derive(Clone, Debug)]
pub(super) struct WeightScheme {
    /// How.
    pub(super) scheme: Scheme,
    /// Its cells.
    pub(super) grid: Grid,
    /// Its element format.
    pub(super) format: FloatFormat,
}

/// Where the zero points of a weight go.
#[derive(Clone, Debug)]
pub(super) struct ZeroPoints {
    /// The tensor.
    pub(super) tensor: OutTensor,
    /// How they lie in it.
    pub(super) form: ZeroPointForm,
}

/// How zero points lie in their tensor.
#[derive(Clone, Copy, Debug)]
pub(super) enum ZeroPointForm {
    /// One to a byte.
    Bytes,
    /// As the codes of compressed-tensors, in words that run down the first axis.
    WordsDown {
        /// Bits of a zero point.
        bits: u32,
    },
    /// Two to a byte, as ONNX's 4-bit tensors.
    Nibbles,
}

/// The tensors that take the place of a weight.
#[derive(Clone, Debug)]
pub(super) struct EncodedWeight {
    /// The codes.
    pub(super) codes: OutTensor,
    /// How they lie in it.
    pub(super) packing: Packing,
    /// The scales, cell by cell.
    pub(super) scales: OutTensor,
    /// The format of the scales.
    pub(super) scale_format: FloatFormat,
    /// The zero points, if the scheme has any.
    pub(super) zero_points: Option<ZeroPoints>,
    /// Tensors whose values do not depend on the weight's.
    pub(super) constants: Vec<(OutTensor, Vec<u8>)>,
}

impl EncodedWeight {
    /// All of them.
    pub(super) fn tensors(&self) -> impl Iterator<Item = &OutTensor> {
        let zero_points = self.zero_points.iter().map(|z| &z.tensor);
        [&self.codes, &self.scales].into_iter().chain(zero_points).chain(self.constants.iter().map(|(t, _)| t))
    }
}
