//! The element types of tensors that our operators take, and what all these operators share.

use std::{borrow::Cow, marker::PhantomData};

use half::f16;
use ort::{
    operator::{KernelContext, OperatorDomain},
    value::{IntoTensorElementType, PrimitiveTensorElementType, TensorElementType},
};

use super::{Gates, Slots, observer::Observe, transform::Replace};
use crate::{calibration::Observer, numeric::FloatFormat};

/// The domain of our operators.
pub(super) const DOMAIN: &str = "ptqd";

/// The domain to register with a session whose graph has them.
pub(super) fn domain<O: Observer>(slots: &Slots<O>, gates: &Gates) -> ort::Result<OperatorDomain> {
    OperatorDomain::new(DOMAIN)?
        .add(Observe::<f32, O>(slots.clone(), PhantomData))?
        .add(Observe::<f16, O>(slots.clone(), PhantomData))?
        .add(Replace::<f32>(gates.clone(), PhantomData))?
        .add(Replace::<f16>(gates.clone(), PhantomData))
}

/// The slot that a node's attribute names.
pub(super) fn slot_of(context: &KernelContext<'_>) -> ort::Result<usize> {
    let slot: i64 = context.get("slot").ok_or_else(|| ort::Error::new("an operator of ptqd without a slot"))?;
    usize::try_from(slot).map_err(|_| ort::Error::new("a negative slot"))
}

/// An element type of such a tensor.
pub(super) trait FloatElement:
    PrimitiveTensorElementType + IntoTensorElementType + Copy + Send + Sync + 'static
{
    /// Its number in the engine.
    const ELEMENT: TensorElementType;
    /// Its format.
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
