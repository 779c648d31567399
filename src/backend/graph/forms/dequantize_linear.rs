//! A constant behind a DequantizeLinear.

use crate::{
    backend::{
        layouts::onnx,
        weights::{EncodedWeight, WeightScheme},
    },
    model::{
        onnx::{
            Bytes, Constant, DeferredTensor, Graph, OnnxError, attribute_int, new_node,
            proto::{NodeProto, TensorProto},
        },
        safetensors::OutTensor,
    },
    numeric::DType,
    quant::Granularity,
};

/// The node that has the constant's name, and the tensors that it reads.
pub(super) fn put(
    graph: &mut Graph,
    constant: &Constant<'_>,
    weight: &WeightScheme,
    deferred: &mut Vec<DeferredTensor>,
) -> Result<(EncodedWeight, NodeProto), OnnxError> {
    let name = &constant.source;
    let encoded = onnx::tensors(name, &constant.shape, weight, |wanted| graph.claim(wanted), deferred)?;
    let mut inputs: Vec<String> = encoded.tensors().map(|tensor| tensor.name.clone()).collect();
    if weight.zeros_stored && encoded.zero_points.is_none() && weight.scheme.dtype.is_integer() {
        inputs.push(zeros(graph, name, &encoded.scales, weight.scheme.dtype));
    }
    let mut node = new_node("DequantizeLinear", "", inputs, name);
    let (axis, size) = match weight.scheme.granularity {
        Granularity::PerChannel { axis } => (Some(axis), None),
        Granularity::PerGroup { axis, size } => (Some(axis), Some(size)),
        _ => (None, None),
    };
    node.attribute.extend(axis.map(|axis| attribute_int("axis", axis as i64)));
    node.attribute.extend(size.map(|size| attribute_int("block_size", size as i64)));
    Ok((encoded, node))
}

/// A zero point of 0 for each scale of a weight.
fn zeros(graph: &mut Graph, weight: &str, scales: &OutTensor, dtype: DType) -> String {
    let name = graph.claim(&format!("{weight}.zero_point"));
    let dims = scales.shape.dims();
    graph.add_initializer(TensorProto {
        name: Some(name.clone()),
        dims: dims.iter().map(|&dim| dim as i64).collect(),
        data_type: Some(dtype.spec().onnx),
        raw_data: Some(Bytes::from(vec![0; dtype.spec().packing.row_bytes(scales.shape.elements())])),
        ..Default::default()
    });
    name
}
