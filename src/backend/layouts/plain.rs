//! Layout `plain`: codes under the weight's own name, scales beside them, and the manifest to say what they mean.
//!
//! `X.weight` holds the codes in the weight's shape (int4: `X.weight_packed` and `X.weight_shape` as in
//! compressed-tensors), `X.weight_scale` the scales as f32 in a shape that broadcasts over the weight, or that of the
//! grid of groups or blocks; `X.weight_zero_point` the zero points as bytes.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    layout::{Entry, Form, Layout},
    tensors::{bytes, out, scales, weight_shape, words},
};
use crate::{
    backend::weights::{EncodedWeight, WeightScheme, ZeroPoints},
    model::{checkpoint::TensorInfo, safetensors::SafetensorsError},
    numeric::{DType, Packing, ScaleFormat},
    quant::Granularity,
};

/// The layout.
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
        let (codes, packing) = if weight.scheme.dtype.spec().packing == Packing::Bytes {
            bytes(named(""), &tensor.shape, weight)?
        } else {
            constants.push(weight_shape(named("_shape"), &tensor.shape)?);
            words(named("_packed"), weight)?
        };
        let zero_points = weight.scheme.rule.is_asymmetric().then(|| {
            let tensor = out(named("_zero_point"), "I8", 8, cells.clone())?;
            Ok(ZeroPoints { tensor, packing: Packing::Bytes, down: false })
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
