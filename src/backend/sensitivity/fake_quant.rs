//! Quantization of single inputs as changes of a running graph.

use std::sync::{Mutex, PoisonError};

use crate::{
    backend::weights::WeightScheme,
    engine::TensorTransform,
    numeric::{DType, FloatFormat},
    quant::{ErrorStats, Granularity, MinMax, QParams, ScaleRule, Scheme, one_cell, qparams, simulate},
};

/// An activation under a scale and zero point, with what that cost so far.
#[derive(Debug)]
pub(super) struct Activation {
    pub(super) scheme: Scheme,
    pub(super) params: QParams,
    pub(super) seen: std::sync::Arc<Mutex<ErrorStats>>,
}

impl TensorTransform for Activation {
    fn apply(&self, values: &[f32], changed: &mut [f32]) -> Result<(), String> {
        let error = simulate(values, &one_cell(values.len()), &self.scheme, Some(&[self.params]), changed);
        let error = error.map_err(|e| e.to_string())?;
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).merge(&error);
        Ok(())
    }
}

/// An activation under the scale and zero point of its own range, as DynamicQuantizeLinear has them.
#[derive(Debug)]
pub(super) struct Dynamic;

impl TensorTransform for Dynamic {
    fn apply(&self, values: &[f32], changed: &mut [f32]) -> Result<(), String> {
        let scheme = Scheme::onnx(DType::Int8, Granularity::PerTensor);
        let scheme = Scheme { rule: ScaleRule::RangeOverStepsOfAny, ..scheme };
        let range = values
            .iter()
            .fold(MinMax::EMPTY, |range, &value| MinMax { min: range.min.min(value), max: range.max.max(value) });
        let params = qparams(range, &scheme, FloatFormat::F32);
        let error = simulate(values, &one_cell(values.len()), &scheme, Some(&[params]), changed);
        error.map(drop).map_err(|e| e.to_string())
    }
}

/// A weight that is replaced by what its codes decode to.
#[derive(Debug)]
pub(super) struct Weight(pub(super) WeightScheme);

impl TensorTransform for Weight {
    fn apply(&self, values: &[f32], changed: &mut [f32]) -> Result<(), String> {
        let WeightScheme { scheme, grid, format, .. } = &self.0;
        // The scale is rounded to the format that it is stored in, whatever the values are handed over in.
        let scheme = Scheme { scale_format: Some(scheme.scale_format(*format)), ..*scheme };
        simulate(values, grid, &scheme, None, changed).map(drop).map_err(|e| e.to_string())
    }
}
