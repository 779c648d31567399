//! Tensors as several layouts have them.

use crate::{
    backend::weights::WeightScheme,
    model::{
        checkpoint::TensorInfo,
        safetensors::{OutTensor, SafetensorsError},
    },
    numeric::{Packing, ScaleFormat},
    tensor::Shape,
};

/// The module that a weight belongs to.
pub(super) fn module(tensor: &TensorInfo) -> &str {
    tensor.name.strip_suffix(".weight").unwrap_or(&tensor.name)
}

/// A tensor whose elements have `bits`.
pub(super) fn out(name: String, dtype: &str, bits: usize, dims: Vec<usize>) -> Result<OutTensor, SafetensorsError> {
    match Shape::new(dims) {
        Ok(shape) => Ok(OutTensor { name, dtype: dtype.to_owned(), bits, shape }),
        Err(source) => Err(SafetensorsError::Shape { tensor: name, source }),
    }
}

/// A tensor of scales.
pub(super) fn scales(name: String, format: ScaleFormat, dims: Vec<usize>) -> Result<OutTensor, SafetensorsError> {
    let spec = format.spec();
    out(name, spec.safetensors, 8 * spec.size, dims)
}

/// Codes one to a byte, in the weight's own shape.
pub(super) fn bytes(
    name: String,
    shape: &Shape,
    weight: &WeightScheme,
) -> Result<(OutTensor, Packing), SafetensorsError> {
    let spec = weight.scheme.dtype.spec();
    // Codes that are packed elsewhere are those of integers.
    let dtype = if spec.packing == Packing::Bytes { spec.safetensors } else { "I8" };
    let tensor = out(name, dtype, 8, shape.dims().to_vec())?;
    Ok((tensor, Packing::Bytes))
}

/// `weight_packed` of compressed-tensors: 32-bit words, rows padded.
pub(super) fn words(name: String, weight: &WeightScheme) -> Result<(OutTensor, Packing), SafetensorsError> {
    let packing = Packing::Words { bits: weight.scheme.dtype.spec().bits };
    let tensor = out(name, "I32", 32, vec![weight.grid.rows, packing.row_bytes(weight.grid.columns) / 4])?;
    Ok((tensor, packing))
}

/// Codes two to a byte, the first of them low.
pub(super) fn nibbles(name: String, weight: &WeightScheme) -> Result<(OutTensor, Packing), SafetensorsError> {
    let packing = Packing::Nibbles;
    let dims = vec![weight.grid.rows, packing.row_bytes(weight.grid.columns)];
    Ok((out(name, "U8", 8, dims)?, packing))
}

/// `weight_shape` of compressed-tensors, with its bytes.
pub(super) fn weight_shape(name: String, shape: &Shape) -> Result<(OutTensor, Vec<u8>), SafetensorsError> {
    let dims = shape.dims().iter().flat_map(|&d| (d as i64).to_le_bytes()).collect();
    Ok((out(name, "I64", 64, vec![shape.rank()])?, dims))
}
