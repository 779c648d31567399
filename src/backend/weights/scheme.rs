//! [`WeightScheme`]: everything that is decided of a weight before its first element is read.

use super::encoders::{DEFAULT, Encoder};
use crate::{
    numeric::{DType, FloatFormat},
    quant::{Grid, Scheme},
};

/// How a weight is quantized.
#[derive(Clone, Copy, Debug)]
pub(in crate::backend) struct WeightScheme {
    /// Dtype, granularity and how ranges become scales.
    pub(in crate::backend) scheme: Scheme,
    /// Its matrix, and the cells of it that share a scale.
    pub(in crate::backend) grid: Grid,
    /// The format of its elements.
    pub(in crate::backend) format: FloatFormat,
    /// Whether zero points that are all 0 are stored all the same, where the file has a place for them: onnxruntime fuses a
    /// Gemm only so.
    pub(in crate::backend) zeros_stored: bool,
    /// The dtype that the runtime rounds the layer's activations to as it runs, if that is declared.
    pub(in crate::backend) activations: Option<DType>,
    /// What turns its elements into codes.
    pub(in crate::backend) encoder: &'static dyn Encoder,
}

impl WeightScheme {
    /// With the encoder of weights for which none is asked.
    pub(in crate::backend) fn new(scheme: Scheme, grid: Grid, format: FloatFormat) -> Self {
        WeightScheme { scheme, grid, format, zeros_stored: false, activations: None, encoder: DEFAULT }
    }

    /// The same under another encoder.
    pub(in crate::backend) fn encoded_by(self, encoder: &'static dyn Encoder) -> Self {
        WeightScheme { encoder, ..self }
    }

    /// The same beside activations that the runtime rounds.
    pub(in crate::backend) fn beside(self, activations: Option<DType>) -> Self {
        WeightScheme { activations, ..self }
    }

    /// The bytes of its elements before they are quantized.
    pub(in crate::backend) fn source_bytes(&self) -> u64 {
        (self.grid.whole().elements() * self.format.size()) as u64
    }
}
