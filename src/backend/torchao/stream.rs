//! One shard in, one shard out, in blocks of rows.

use std::{collections::BTreeMap, path::Path};

use crate::{
    backend::BackendError,
    control::PhaseMeter,
    model::safetensors::{OutTensor, SafetensorsError, Shard, ShardWriter, TensorInfo},
    numeric::{DType, FloatFormat},
    quant::{ErrorStats, Granularity, QuantError, Scheme, quantize_rows},
    report::WeightReport,
    spec::LayerPlan,
    tensor::Shape,
};

/// Source bytes of one block of rows. Fixed, so that sums over blocks are the same on every machine.
const BLOCK_BYTES: usize = 16 << 20;

/// What came of a shard.
pub(super) struct Written {
    /// Names of the tensors in the new file.
    pub(super) tensors: Vec<String>,
    /// For each tensor of the source, what was done to it if it was quantized.
    pub(super) weights: Vec<Option<WeightReport>>,
    /// The new file's size.
    pub(super) file_bytes: u64,
}

/// Writes the shard to `path`, its tensors quantized as `plans` (one for each tensor) say.
pub(super) fn quantize_shard(
    shard: &Shard,
    plans: &[LayerPlan],
    path: &Path,
    meter: &mut PhaseMeter<'_>,
) -> Result<Written, BackendError> {
    let mut out = Vec::new();
    for (tensor, plan) in shard.tensors.iter().zip(plans) {
        out.extend(laid_out(tensor, plan.weights)?);
    }
    let tensors = out.iter().map(|tensor| tensor.name.clone()).collect();
    let mut metadata: BTreeMap<String, String> = shard.metadata.clone();
    metadata.insert("ptqd_layout".to_owned(), "plain".to_owned());
    let writer = ShardWriter::create(path, out, &metadata)?;
    let mut weights = Vec::new();
    for (tensor, plan) in shard.tensors.iter().zip(plans) {
        let bytes = shard.bytes(tensor);
        weights.push(match (plan.weights, tensor.float_format()) {
            (Some(dtype), Some(format)) => Some(quantize_tensor(&writer, tensor, bytes, (dtype, format), meter)?),
            _ => {
                for (i, block) in bytes.chunks(BLOCK_BYTES).enumerate() {
                    writer.write(&tensor.name, (i * BLOCK_BYTES) as u64, block)?;
                    meter.advance(block.len() as u64)?;
                }
                None
            }
        });
    }
    Ok(Written { tensors, weights, file_bytes: writer.finish()? })
}

/// The tensors that take the place of `tensor`.
fn laid_out(tensor: &TensorInfo, dtype: Option<DType>) -> Result<Vec<OutTensor>, SafetensorsError> {
    let Some(dtype) = dtype else {
        return Ok(vec![OutTensor {
            name: tensor.name.clone(),
            dtype: format!("{:?}", tensor.dtype),
            bits: tensor.dtype.bitsize(),
            shape: tensor.shape.clone(),
        }]);
    };
    // One scale per row, of a shape that broadcasts over the rest: [rows, 1, …].
    let dims = tensor.shape.dims();
    let scales = dims.iter().take(1).copied().chain(dims.iter().skip(1).map(|_| 1)).collect();
    let shape = Shape::new(scales).map_err(|source| SafetensorsError::Shape { tensor: tensor.name.clone(), source })?;
    let spec = dtype.spec();
    Ok(vec![
        OutTensor {
            name: tensor.name.clone(),
            dtype: spec.safetensors.to_owned(),
            bits: spec.bits as usize,
            shape: tensor.shape.clone(),
        },
        OutTensor { name: scale_name(tensor), dtype: "F32".to_owned(), bits: 32, shape },
    ])
}

fn scale_name(tensor: &TensorInfo) -> String {
    format!("{}_scale", tensor.name)
}

fn quantize_tensor(
    writer: &ShardWriter,
    tensor: &TensorInfo,
    bytes: &[u8],
    (dtype, format): (DType, FloatFormat),
    meter: &mut PhaseMeter<'_>,
) -> Result<WeightReport, BackendError> {
    let scheme = Scheme::torchao(dtype, Granularity::PerChannel { axis: 0 });
    let rows = tensor.shape.dims().first().copied().unwrap_or(1).max(1);
    let columns = tensor.shape.elements() / rows;
    let row_bytes = columns * format.size();
    let block_rows = (BLOCK_BYTES / row_bytes.max(1)).max(1);
    let mut codes = vec![0; block_rows.min(rows) * columns];
    let mut scales = vec![0f32; rows];
    let mut error = ErrorStats::default();
    for (block, source) in bytes.chunks(block_rows * row_bytes).enumerate() {
        let first = block * block_rows;
        let rows = source.len() / row_bytes;
        let codes = &mut codes[..rows * columns];
        let scales = &mut scales[first..first + rows];
        let part = quantize_rows(format, source, columns, &scheme, codes, scales).map_err(|source| {
            let source = match source {
                QuantError::NotFinite { channel } => QuantError::NotFinite { channel: first + channel },
                other => other,
            };
            BackendError::Weight { tensor: tensor.name.clone(), source }
        })?;
        error.merge(&part);
        writer.write(&tensor.name, (first * columns) as u64, codes)?;
        meter.advance(source.len() as u64)?;
    }
    let scales: Vec<u8> = scales.iter().flat_map(|s| s.to_le_bytes()).collect();
    writer.write(&scale_name(tensor), 0, &scales)?;
    let after = (tensor.shape.elements() + scales.len()) as u64;
    Ok(WeightReport::new(&tensor.name, &scheme, &error, (bytes.len() as u64, after)))
}
