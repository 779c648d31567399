//! The values of a constant in f16.

use half::f16;

use crate::{
    model::onnx::{
        Bytes,
        constants::data,
        proto::{TensorProto, data_type},
    },
    numeric::FloatFormat,
};

/// An f32 constant in f16, rounded to the nearest; and whether it has finite values that f16 does not reach, which become
/// its largest.
pub(super) fn to_float16(tensor: &TensorProto) -> (TensorProto, bool) {
    let bytes = data(tensor, FloatFormat::F32);
    let mut clipped = false;
    let values = bytes.as_chunks::<4>().0.iter().flat_map(|bytes| {
        let x = f32::from_le_bytes(*bytes);
        let rounded = f16::from_f32(x);
        let beyond = rounded.is_infinite() && x.is_finite();
        clipped |= beyond;
        (if beyond { f16::MAX.copysign(rounded) } else { rounded }).to_le_bytes()
    });
    let values: Vec<u8> = values.collect();
    let float16 = TensorProto {
        dims: tensor.dims.clone(),
        data_type: Some(data_type::FLOAT16),
        name: tensor.name.clone(),
        raw_data: Some(Bytes::from(values)),
        ..Default::default()
    };
    (float16, clipped)
}
