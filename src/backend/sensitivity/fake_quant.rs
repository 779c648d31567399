//! Quantization of single inputs as changes of a running graph.

use std::sync::{Mutex, PoisonError};

use crate::{
    backend::weights::WeightScheme,
    engine::TensorTransform,
    quant::{ErrorStats, QParams, Scheme, one_cell, simulate},
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
