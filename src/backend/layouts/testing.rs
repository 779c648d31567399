//! A weight of 4 rows and 64 columns in bf16, for the tests of layouts.

use std::{collections::BTreeMap, fs};

use super::{Entry, Layout};
use crate::{
    backend::weights::WeightScheme,
    model::{
        checkpoint::TensorInfo,
        safetensors::{OutTensor, ShardWriter, open},
    },
    numeric::{DType, FloatFormat},
    quant::{Granularity, Grid, ScaleRule, Scheme},
    spec::{Decision, LayerPlan, Reason},
    tensor::Shape,
};

pub(super) const PER_TENSOR: Granularity = Granularity::PerTensor;
pub(super) const PER_ROW: Granularity = Granularity::PerChannel { axis: 0 };
pub(super) const PER_GROUP: Granularity = Granularity::PerGroup { axis: 1, size: 32 };
pub(super) const PER_BLOCK: Granularity = Granularity::PerBlock { rows: 128, columns: 128 };

/// The weight of a module.
pub(super) fn tensor(module: &str) -> TensorInfo {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    let shape = Shape::new(vec![4, 64]).unwrap();
    let out = OutTensor { name: format!("{module}.weight"), dtype: "BF16".to_owned(), bits: 16, shape };
    ShardWriter::create(&path, vec![out], &BTreeMap::new()).unwrap().finish().unwrap();
    let tensor = open(&path).unwrap().tensors().map(|(_, tensor)| tensor.clone()).next().unwrap();
    fs::remove_file(path).unwrap();
    tensor
}

/// The scheme of backend torchao.
pub(super) fn symmetric(dtype: DType, granularity: Granularity) -> WeightScheme {
    let grid = Grid::new(&Shape::new(vec![4, 64]).unwrap(), granularity).unwrap();
    WeightScheme::new(Scheme::torchao(dtype, granularity), grid, FloatFormat::Bf16)
}

/// That of a microscaling format.
pub(super) fn microscaled(dtype: DType) -> WeightScheme {
    WeightScheme { scheme: Scheme::microscaled(dtype), ..symmetric(dtype, PER_GROUP) }
}

/// That of torchao with zero points.
pub(super) fn asymmetric(dtype: DType, granularity: Granularity) -> WeightScheme {
    let mut weight = symmetric(dtype, granularity);
    weight.scheme.rule = ScaleRule::RangeOverSteps;
    weight
}

/// The plan for a Linear.
pub(super) fn linear(module: &str, dtype: Option<DType>) -> LayerPlan {
    LayerPlan {
        name: module.to_owned(),
        op_type: "Linear".to_owned(),
        decision: if dtype.is_some() { Decision::Quantize } else { Decision::Native },
        reason: Reason::Rule,
        rule: None,
        weights: dtype,
        activations: None,
        dynamic: false,
        algorithm: None,
        form: None,
    }
}

/// The tensors that take the place of `fc.weight`, as `name dtype shape`.
pub(super) fn stored(layout: &Layout, weight: &WeightScheme) -> Vec<String> {
    assert!(layout.carries("Linear", weight), "{} has no place for {weight:?}", layout.name);
    let encoded = layout.form.tensors(&tensor("fc"), weight).unwrap();
    let elements = encoded.scales.bytes() as usize / encoded.scale_format.spec().size;
    assert_eq!(elements, encoded.scales.shape.elements(), "the scales are said to be what they are not");
    encoded.tensors().map(|tensor| format!("{} {} {}", tensor.name, tensor.dtype, tensor.shape)).collect()
}

/// What the layout says of a model with these Linears.
pub(super) fn described<R>(linears: &[(&str, Option<WeightScheme>)], describe: impl Fn(&[Entry<'_>]) -> R) -> R {
    let dtype = |weight: &Option<WeightScheme>| weight.map(|weight| weight.scheme.dtype);
    let tensors: Vec<TensorInfo> = linears.iter().map(|(module, _)| tensor(module)).collect();
    let plans: Vec<LayerPlan> = linears.iter().map(|(module, weight)| linear(module, dtype(weight))).collect();
    let with_weights = tensors.iter().zip(&plans).zip(linears);
    let entries = with_weights.map(|((tensor, plan), (_, weight))| Entry { tensor, plan, weight: weight.as_ref() });
    describe(&entries.collect::<Vec<_>>())
}
