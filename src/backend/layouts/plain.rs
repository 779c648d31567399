//! Layout `plain`: codes under the weight's own name, scales beside them, and the manifest to say what they mean.
//!
//! `X.weight` holds the codes in the weight's shape (int4: `X.weight_packed` and `X.weight_shape` as in
//! compressed-tensors), `X.weight_scale` the scales as f32 in a shape that broadcasts over the weight, or that of the
//! grid of groups or blocks; `X.weight_zero_point` the zero points as bytes.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Entry, Layout, out, weight_shape, words};
use crate::{
    backend::stored::{EncodedWeight, WeightScheme, ZeroPointForm, ZeroPoints},
    model::{
        checkpoint::TensorInfo,
        safetensors::{OutTensor, SafetensorsError},
    },
    numeric::FloatFormat,
    quant::{Granularity, Packing},
};

/// The layout.
#[derive(Debug)]
pub(super) struct Plain;

impl Layout for Plain {
    fn name(&self) -> &'static str {
        "plain"
    }

    fn carries(&self, _: &str, _: &WeightScheme) -> bool {
        true
    }

    fn stored(&self, tensor: &TensorInfo, chosen: &WeightScheme) -> Result<EncodedWeight, SafetensorsError> {
        let named = |suffix: &str| format!("{}{suffix}", tensor.name);
        let spec = chosen.scheme.dtype.spec();
        let (down, across) = chosen.grid.cells();
        let cells = match chosen.scheme.granularity {
            Granularity::PerTensor => vec![1; tensor.shape.rank()],
            Granularity::PerChannel { .. } => {
                let ones = tensor.shape.dims().iter().skip(1).map(|_| 1);
                tensor.shape.dims().iter().take(1).copied().chain(ones).collect()
            }
            _ => vec![down, across],
        };
        let mut constants = Vec::new();
        let (codes, packing) = if spec.bits == 8 {
            let shape = tensor.shape.clone();
            let codes = OutTensor { name: named(""), dtype: spec.safetensors.to_owned(), bits: 8, shape };
            (codes, Packing::Bytes)
        } else {
            constants.push(weight_shape(named("_shape"), &tensor.shape)?);
            words(named("_packed"), chosen)?
        };
        let zero_points = chosen.scheme.rule.is_asymmetric().then(|| {
            let tensor = out(named("_zero_point"), "I8", 8, cells.clone())?;
            Ok(ZeroPoints { tensor, form: ZeroPointForm::Bytes })
        });
        let scales = out(named("_scale"), "F32", 32, cells)?;
        let zero_points = zero_points.transpose()?;
        Ok(EncodedWeight { codes, packing, scales, scale_format: FloatFormat::F32, zero_points, constants })
    }

    fn metadata(&self, _: &[Entry<'_>]) -> BTreeMap<String, String> {
        BTreeMap::from([("ptqd_layout".to_owned(), "plain".to_owned())])
    }

    fn config(&self, _: &[Entry<'_>]) -> Option<Value> {
        None
    }
}
