//! [`FloatElement`]: the element types of tensors that our operators take.

use std::borrow::Cow;

use half::f16;
use ort::value::{IntoTensorElementType, PrimitiveTensorElementType, TensorElementType};

use crate::numeric::FloatFormat;

/// An element type of such a tensor.
pub(super) trait FloatElement:
    PrimitiveTensorElementType + IntoTensorElementType + Copy + Send + Sync + 'static
{
    /// Its number in the engine.
    const ELEMENT: TensorElementType;
    /// The same format as the core names it.
    const FORMAT: FloatFormat;
    /// All values as f32.
    fn widen(values: &[Self]) -> Cow<'_, [f32]>;
    /// Writes values that `fill` gives.
    fn fill(target: &mut [Self], fill: impl FnOnce(&mut [f32]) -> ort::Result<()>) -> ort::Result<()>;
}

impl FloatElement for f32 {
    const ELEMENT: TensorElementType = TensorElementType::Float32;
    const FORMAT: FloatFormat = FloatFormat::F32;

    fn widen(values: &[f32]) -> Cow<'_, [f32]> {
        values.into()
    }

    fn fill(target: &mut [f32], fill: impl FnOnce(&mut [f32]) -> ort::Result<()>) -> ort::Result<()> {
        fill(target)
    }
}

impl FloatElement for f16 {
    const ELEMENT: TensorElementType = TensorElementType::Float16;
    const FORMAT: FloatFormat = FloatFormat::F16;

    fn widen(values: &[f16]) -> Cow<'_, [f32]> {
        values.iter().map(|x| x.to_f32()).collect()
    }

    fn fill(target: &mut [f16], fill: impl FnOnce(&mut [f32]) -> ort::Result<()>) -> ort::Result<()> {
        let mut wide = vec![0.0; target.len()];
        fill(&mut wide)?;
        target.iter_mut().zip(wide).for_each(|(target, x)| *target = f16::from_f32(x));
        Ok(())
    }
}
