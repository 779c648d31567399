//! Whole tensors and blocks of rows: the kernels, spread over threads.

use half::{bf16, f16};
use rayon::prelude::*;

use super::{ErrorStats, Granularity, Scheme, kernels, scale_for};
use crate::{
    numeric::{Element, ElementVisitor, FloatFormat, SourceFloat},
    tensor::{Channels, TensorView},
};

/// Why a tensor cannot be quantized.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantError {
    /// A weight is NaN or infinite.
    #[error("channel {channel} holds a NaN or an infinity")]
    NotFinite {
        /// The channel (row) it stands in.
        channel: usize,
    },
    /// The scheme's channel axis is not an axis of the tensor.
    #[error("axis {axis} of a tensor of rank {rank}")]
    NoSuchAxis {
        /// The axis asked for.
        axis: usize,
        /// The tensor's rank.
        rank: usize,
    },
    /// A buffer's length is not what the rows need.
    #[error("buffers of {bytes} bytes, {codes} codes and {scales} scales do not make rows of {columns}")]
    Lengths {
        /// Bytes of the source.
        bytes: usize,
        /// Length of the code buffer.
        codes: usize,
        /// Length of the scale buffer.
        scales: usize,
        /// Elements per row.
        columns: usize,
    },
}

/// A quantized tensor in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantized {
    /// One code per element, in the order of the source.
    pub codes: Vec<u8>,
    /// One scale per channel, or a single one.
    pub scales: Vec<f32>,
    /// What it cost.
    pub error: ErrorStats,
}

/// Quantizes a tensor along any axis.
pub fn quantize(view: TensorView<'_>, scheme: &Scheme) -> Result<Quantized, QuantError> {
    let elements = view.shape().elements();
    let channels = match scheme.granularity {
        Granularity::PerTensor => Channels { outer: 1, channels: 1, inner: elements },
        Granularity::PerChannel { axis } => {
            Channels::along(view.shape(), axis).ok_or(QuantError::NoSuchAxis { axis, rank: view.shape().rank() })?
        }
    };
    let mut result =
        Quantized { codes: vec![0; elements], scales: vec![0.0; channels.channels], error: ErrorStats::default() };
    if channels.is_empty() {
        result.scales.fill(scale_for(0.0, scheme, view.format()));
        return Ok(result);
    }
    let columns = channels.len();
    if channels.outer == 1 {
        result.error =
            quantize_rows(view.format(), view.bytes(), columns, scheme, &mut result.codes, &mut result.scales)?;
        return Ok(result);
    }
    let mut front = Vec::new();
    match view.format() {
        FloatFormat::F32 => rows_first::<4>(&channels, view.bytes(), &mut front),
        FloatFormat::F16 | FloatFormat::Bf16 => rows_first::<2>(&channels, view.bytes(), &mut front),
    }
    let mut codes = vec![0; elements];
    result.error = quantize_rows(view.format(), &front, columns, scheme, &mut codes, &mut result.scales)?;
    channels.reversed().to_front(&codes, &mut result.codes);
    Ok(result)
}

fn rows_first<const SIZE: usize>(channels: &Channels, bytes: &[u8], front: &mut Vec<u8>) {
    let mut moved = Vec::new();
    channels.to_front(bytes.as_chunks::<SIZE>().0, &mut moved);
    *front = moved.into_flattened();
}

/// Quantizes consecutive rows of `columns` elements, a scale for each, in parallel.
///
/// The result does not depend on the number of threads, and blocks of rows give what the whole gives.
/// `bytes` holds the rows' elements, `codes` one byte for each element, `scales` one entry for each row.
pub fn quantize_rows(
    format: FloatFormat,
    bytes: &[u8],
    columns: usize,
    scheme: &Scheme,
    codes: &mut [u8],
    scales: &mut [f32],
) -> Result<ErrorStats, QuantError> {
    let lengths = QuantError::Lengths { bytes: bytes.len(), codes: codes.len(), scales: scales.len(), columns };
    if columns == 0
        || scales.len().checked_mul(columns) != Some(codes.len())
        || codes.len().checked_mul(format.size()) != Some(bytes.len())
    {
        return Err(lengths);
    }
    scheme.dtype.visit(Rows { format, bytes, columns, scheme, codes, scales })
}

struct Rows<'a> {
    format: FloatFormat,
    bytes: &'a [u8],
    columns: usize,
    scheme: &'a Scheme,
    codes: &'a mut [u8],
    scales: &'a mut [f32],
}

impl ElementVisitor for Rows<'_> {
    type Output = Result<ErrorStats, QuantError>;

    fn visit<E: Element>(self) -> Self::Output {
        match self.format {
            FloatFormat::F32 => self.run::<f32, E>(),
            FloatFormat::F16 => self.run::<f16, E>(),
            FloatFormat::Bf16 => self.run::<bf16, E>(),
        }
    }
}

impl Rows<'_> {
    fn run<S: SourceFloat, E: Element>(self) -> Result<ErrorStats, QuantError> {
        let Rows { bytes, columns, scheme, .. } = self;
        let parts: Vec<Result<ErrorStats, QuantError>> = bytes
            .par_chunks(columns * S::FORMAT.size())
            .zip(self.codes.par_chunks_mut(columns))
            .zip(self.scales.par_iter_mut())
            .enumerate()
            .map(|(channel, ((row, codes), scale))| {
                let amax = kernels::absmax::<S>(row).ok_or(QuantError::NotFinite { channel })?;
                *scale = scale_for(amax, scheme, S::FORMAT);
                kernels::quantize::<S, E>(row, *scale, scheme.quotient, codes);
                Ok(kernels::error_stats::<S, E>(row, codes, *scale))
            })
            .collect();
        // Merged in row order, and the first bad row is the one named, whichever thread was first.
        let mut total = ErrorStats::default();
        for part in parts {
            total.merge(&part?);
        }
        Ok(total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{numeric::DType, tensor::Shape};

    fn bytes(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|x| x.to_le_bytes()).collect()
    }

    #[test]
    fn a_middle_axis_gives_what_its_slices_give() {
        let shape = Shape::new(vec![2, 3, 4]).unwrap();
        let values: Vec<f32> = (0..24).map(|i| ((i * 37) % 23) as f32 - 11.0).collect();
        let data = bytes(&values);
        let view = TensorView::new(FloatFormat::F32, &shape, &data).unwrap();
        let got = quantize(view, &Scheme::onnx(DType::Int8, Granularity::PerChannel { axis: 1 })).unwrap();
        for channel in 0..3 {
            let index: Vec<usize> = (0..24).filter(|i| i / 4 % 3 == channel).collect();
            let slice = bytes(&index.iter().map(|&i| values[i]).collect::<Vec<_>>());
            let flat = Shape::new(vec![8]).unwrap();
            let view = TensorView::new(FloatFormat::F32, &flat, &slice).unwrap();
            let alone = quantize(view, &Scheme::onnx(DType::Int8, Granularity::PerTensor)).unwrap();
            assert_eq!(got.scales[channel], alone.scales[0]);
            assert_eq!(index.iter().map(|&i| got.codes[i]).collect::<Vec<_>>(), alone.codes);
        }
    }

    #[test]
    fn the_first_bad_channel_is_named() {
        let shape = Shape::new(vec![3, 2]).unwrap();
        let data = bytes(&[1.0, 2.0, f32::NAN, 0.0, f32::INFINITY, 0.0]);
        let view = TensorView::new(FloatFormat::F32, &shape, &data).unwrap();
        let scheme = Scheme::torchao(DType::Int8, Granularity::PerChannel { axis: 0 });
        assert_eq!(quantize(view, &scheme), Err(QuantError::NotFinite { channel: 1 }));
    }

    #[test]
    fn empty_tensors_and_wrong_lengths() {
        let shape = Shape::new(vec![0, 5]).unwrap();
        let view = TensorView::new(FloatFormat::F32, &shape, &[]).unwrap();
        let scheme = Scheme::torchao(DType::Fp8E4m3fn, Granularity::PerChannel { axis: 0 });
        assert!(quantize(view, &scheme).unwrap().codes.is_empty());
        let wrong = quantize_rows(FloatFormat::F32, &[0; 8], 3, &scheme, &mut [0; 3], &mut [0.0]);
        assert!(matches!(wrong, Err(QuantError::Lengths { .. })));
    }

    #[test]
    fn one_thread_and_many_give_the_same_bits() {
        let shape = Shape::new(vec![64, 33]).unwrap();
        let data = bytes(&(0..64 * 33).map(|i| ((i * 7919) % 1000) as f32 * 0.001).collect::<Vec<_>>());
        let view = TensorView::new(FloatFormat::F32, &shape, &data).unwrap();
        let scheme = Scheme::torchao(DType::Int8, Granularity::PerChannel { axis: 0 });
        let pool = |n| rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
        assert_eq!(pool(1).install(|| quantize(view, &scheme)), pool(5).install(|| quantize(view, &scheme)));
    }
}
