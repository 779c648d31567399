//! Layout `plain`: codes under the weight's own name, scales beside them, and the manifest to say what they mean.
//!
//! `X.weight` holds the codes in the weight's shape (int4 and mxfp4: `X.weight_packed` and `X.weight_shape` as in
//! compressed-tensors), `X.weight_scale` the scales as f32 in a shape that broadcasts over the weight, or that of the
//! grid of groups or blocks; `X.weight_zero_point` the zero points as bytes.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    layout::{Entry, Form, Layout},
    tensors::{bytes, nibbles, out, scales, weight_shape, words},
};
use crate::{
    backend::weights::{EncodedWeight, Runs, WeightScheme, ZeroPoints},
    model::{checkpoint::TensorInfo, safetensors::SafetensorsError},
    numeric::{DType, Packing, ScaleFormat},
    quant::Granularity,
};

pub(super) const LAYOUT: Layout = Layout { name: "plain", dtypes: &DType::ALL, mixes_schemes: true, form: &Plain };

#[derive(Debug)]
struct Plain;

impl Form for Plain {
    fn carries(&self, _: &str, _: &WeightScheme) -> bool {
        true
    }

    fn tensors(&self, tensor: &TensorInfo, weight: &WeightScheme) -> Result<EncodedWeight, SafetensorsError> {
        let named = |suffix: &str| format!("{}{suffix}", tensor.name);
        let (down, across) = weight.grid.cells();
        let cells = match weight.scheme.granularity {
            Granularity::PerTensor => vec![1; tensor.shape.rank()],
            Granularity::PerChannel { .. } => {
                let ones = tensor.shape.dims().iter().skip(1).map(|_| 1);
                tensor.shape.dims().iter().take(1).copied().chain(ones).collect()
            }
            _ => vec![down, across],
        };
        let mut constants = Vec::new();
        let spec = weight.scheme.dtype.spec();
        let (codes, packing) = if spec.packing == Packing::Bytes {
            bytes(named(""), &tensor.shape, weight)?
        } else {
            constants.push(weight_shape(named("_shape"), &tensor.shape)?);
            let packed = if spec.float { nibbles } else { words };
            packed(named("_packed"), weight)?
        };
        let zero_points = weight.scheme.rule.is_asymmetric().then(|| {
            let tensor = out(named("_zero_point"), "I8", 8, cells.clone())?;
            Ok(ZeroPoints { tensor, packing: Packing::Bytes, runs: Runs::All })
        });
        let scale_format = ScaleFormat::F32;
        let scales = scales(named("_scale"), scale_format, cells)?;
        Ok(EncodedWeight { codes, packing, scales, scale_format, zero_points: zero_points.transpose()?, constants })
    }

    fn metadata(&self, _: &[Entry<'_>]) -> BTreeMap<String, String> {
        BTreeMap::from([("ptqd_layout".to_owned(), "plain".to_owned())])
    }

    fn config(&self, _: &[Entry<'_>]) -> Option<Value> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::layouts::testing::{
        PER_BLOCK, PER_GROUP, PER_ROW, PER_TENSOR, asymmetric, described, stored, symmetric,
    };

    #[test]
    fn scales_broadcast_over_the_weight_or_are_those_of_the_grid() {
        for (weight, expected) in [
            (symmetric(DType::Fp8E5m2, PER_TENSOR), ["fc.weight F8_E5M2 [4,64]", "fc.weight_scale F32 [1,1]"]),
            (symmetric(DType::Int8, PER_ROW), ["fc.weight I8 [4,64]", "fc.weight_scale F32 [4,1]"]),
            (symmetric(DType::Int8, PER_GROUP), ["fc.weight I8 [4,64]", "fc.weight_scale F32 [4,2]"]),
            (symmetric(DType::Fp8E4m3fn, PER_BLOCK), ["fc.weight F8_E4M3 [4,64]", "fc.weight_scale F32 [1,1]"]),
        ] {
            assert_eq!(stored(&LAYOUT, &weight), expected);
        }
    }

    #[test]
    fn int4_is_packed_and_zero_points_are_bytes() {
        assert_eq!(
            stored(&LAYOUT, &asymmetric(DType::Int4, PER_GROUP)),
            [
                "fc.weight_packed I32 [4,8]",
                "fc.weight_scale F32 [4,2]",
                "fc.weight_zero_point I8 [4,2]",
                "fc.weight_shape I64 [2]"
            ]
        );
    }

    #[test]
    fn it_has_a_place_for_every_class_and_dtype_and_describes_none() {
        for dtype in DType::ALL {
            assert!(LAYOUT.carries("Conv2d", &symmetric(dtype, PER_GROUP)));
        }
        let linears = [("a", Some(symmetric(DType::Int8, PER_ROW)))];
        assert_eq!(described(&linears, |entries| LAYOUT.form.config(entries)), None);
    }
}
