//! Graphs written with constants in low precision, and read back, for the tests of forms.

use std::collections::BTreeMap;

use super::{forms::Forms, weights};
use crate::{
    backend::{RunInputs, weights::WeightScheme},
    control::{Canceller, Control, MemoryBudget},
    engine::EngineConfig,
    model::onnx::Model,
};

/// Dimensions and bytes of each initializer, by name.
pub(super) type Tensors = BTreeMap<String, (Vec<i64>, Vec<u8>)>;

/// The model as it is read back, with its initializers.
pub(super) fn written(model: &Model, schemes: &BTreeMap<String, WeightScheme>, forms: &Forms) -> (Model, Tensors) {
    let (folder, never) = (tempfile::tempdir().unwrap(), Canceller::default());
    let inputs = RunInputs {
        calibration: None,
        evaluation: None,
        engine: EngineConfig { library: "".into(), openvino: None, threads: 1, memory: None, canceller: never.clone() },
        memory: MemoryBudget::new(64 << 20).into(),
        statistics: None,
        digests: BTreeMap::new(),
    };
    let control = Control::new(&|_| {}, &never);
    let wanted = weights::Wanted { schemes, forms, given: &BTreeMap::new() };
    weights::write(model, model.clone(), wanted, &inputs, folder.path(), &control).unwrap();
    let model = Model::read(&folder.path().join(weights::FILE)).unwrap();
    let tensors = model.graph().initializers().map(|tensor| {
        let bytes = tensor.raw_data.as_ref().map(|bytes| bytes.to_vec()).unwrap_or_default();
        (tensor.name.clone().unwrap(), (tensor.dims.clone(), bytes))
    });
    let tensors = tensors.collect();
    (model, tensors)
}
