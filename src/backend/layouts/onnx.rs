//! How ONNX graphs hold quantized weights: initializers of codes, scales and zero points, which a DequantizeLinear reads.

use crate::{
    backend::weights::{EncodedWeight, WeightScheme, ZeroPoints},
    model::{
        onnx::{DeferredTensor, OnnxError},
        safetensors::OutTensor,
    },
    numeric::DType,
    quant::Granularity,
    spec::Reason,
    tensor::Shape,
};

/// Why a weight of this shape has no place in a graph, if it has none: codes that share a byte may not be of two rows.
pub(in crate::backend) fn refuses(dtype: DType, shape: &Shape) -> Option<Reason> {
    let codes_per_byte = dtype.spec().packing.codes_per_byte();
    let whole = shape.dims().last().is_some_and(|columns| columns.is_multiple_of(codes_per_byte));
    (!whole).then_some(Reason::ShapeUnsupported)
}

/// The least version of ONNX's operators that can say all this.
pub(in crate::backend) fn needed_opset<'w>(weights: impl IntoIterator<Item = &'w WeightScheme>) -> i64 {
    const BLOCKED: i64 = 21;
    let needed = weights.into_iter().map(|weight| {
        let grouped = matches!(weight.scheme.granularity, Granularity::PerGroup { .. });
        let for_form = if grouped { BLOCKED } else { 0 };
        let for_scales = weight.scheme.scale_format(weight.format).spec().onnx_opset;
        weight.scheme.dtype.spec().onnx_opset.max(for_form).max(for_scales)
    });
    needed.max().unwrap_or(0)
}

/// The tensors that take the place of the constant `name`, in the order of DequantizeLinear's inputs. `claim` makes a name
/// that nothing in the graph has; what the writer must lay out is added to `deferred`.
pub(in crate::backend) fn tensors(
    name: &str,
    shape: &Shape,
    weight: &WeightScheme,
    mut claim: impl FnMut(&str) -> String,
    deferred: &mut Vec<DeferredTensor>,
) -> Result<EncodedWeight, OnnxError> {
    let spec = weight.scheme.dtype.spec();
    let scale_format = weight.scheme.scale_format(weight.format);
    let (down, across) = weight.grid.cells();
    let cells = match weight.scheme.granularity {
        Granularity::PerTensor => vec![],
        Granularity::PerChannel { .. } => vec![down * across],
        Granularity::PerGroup { .. } | Granularity::PerBlock { .. } => vec![down, across],
    };
    let mut tensor = |suffix: &str, element: i32, bits: usize, dims: &[usize]| {
        let name = claim(&format!("{name}.{suffix}"));
        let shape = Shape::new(dims.to_vec()).map_err(|source| OnnxError::Shape { tensor: name.clone(), source })?;
        deferred.push(DeferredTensor { name: name.clone(), element, bits, shape: shape.clone() });
        Ok::<_, OnnxError>(OutTensor { name, dtype: String::new(), bits, shape })
    };
    let codes = tensor("quantized", spec.onnx, spec.bits as usize, shape.dims())?;
    let scales = tensor("scale", scale_format.spec().onnx, 8 * scale_format.spec().size, &cells)?;
    let zero_points = weight.scheme.rule.is_asymmetric().then(|| {
        let tensor = tensor("zero_point", spec.onnx, spec.bits as usize, &cells)?;
        Ok::<_, OnnxError>(ZeroPoints { tensor, packing: spec.packing, down: false })
    });
    let zero_points = zero_points.transpose()?;
    Ok(EncodedWeight { codes, packing: spec.packing, scales, scale_format, zero_points, constants: Vec::new() })
}
