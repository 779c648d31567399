//! The operator that watches a tensor: `Y = X`, and an observer sees the values on the way.
//!
//! It is put in line, between a tensor and its consumers, with its output aliasing its input, so the engine neither
//! keeps an activation longer than without it nor copies one. A second input says which positions of sequences are real; an
//! observer then sees the values of these alone, a part at a time.

use std::sync::{Arc, Mutex, PoisonError};

use ort::operator::ComputeContext;

use super::{element::FloatElement, failure::ours, operator::Operation};
use crate::{
    calibration::{Activation, Mask, Observer},
    numeric::FloatFormat,
};

/// The observers of one session, by slot.
#[derive(Debug)]
pub struct Slots<O>(Arc<Vec<Mutex<O>>>);

impl<O> Clone for Slots<O> {
    fn clone(&self) -> Self {
        Slots(Arc::clone(&self.0))
    }
}

impl<O: Observer> Slots<O> {
    /// One slot for each observer.
    pub fn new(observers: impl IntoIterator<Item = O>) -> Self {
        Slots(Arc::new(observers.into_iter().map(Mutex::new).collect()))
    }

    /// Looks at each observer, or changes it, in the order of the slots.
    pub fn each<R>(&self, mut look: impl FnMut(&mut O) -> R) -> Vec<R> {
        self.0.iter().map(|slot| look(&mut slot.lock().unwrap_or_else(PoisonError::into_inner))).collect()
    }

    fn observe(&self, slot: usize, seen: Activation<'_>) -> ort::Result<()> {
        let slot = self.0.get(slot).ok_or_else(|| ours("no such observer"))?;
        slot.lock().unwrap_or_else(PoisonError::into_inner).observe(seen);
        Ok(())
    }
}

/// The operator's name for tensors of a format.
pub(super) const fn op(format: FloatFormat) -> &'static str {
    match format {
        FloatFormat::F16 => "ObserveHalf",
        FloatFormat::F32 | FloatFormat::Bf16 => "Observe",
    }
}

/// A shape of the engine's; no tensor that has values has a length below 0.
fn lengths(shape: &[i64]) -> Vec<usize> {
    shape.iter().map(|&dim| usize::try_from(dim).unwrap_or(0)).collect()
}

impl<O: Observer> Operation for Slots<O> {
    const ALIASES: &[(u32, u32)] = &[(0, 0)];
    const MASKED: bool = true;

    fn name(format: FloatFormat) -> &'static str {
        op(format)
    }

    fn compute<T: FloatElement>(&self, slot: usize, context: &ComputeContext) -> ort::Result<()> {
        let missing = || ours("an observer without an input");
        let (shape, source) = {
            let input = context.input(0)?.ok_or_else(missing)?;
            let (shape, values) = input.try_extract_tensor::<T>()?;
            let dims = lengths(shape);
            match context.input(1)? {
                None => self.observe(slot, Activation { values: &T::widen(values), dims: &dims })?,
                Some(mask) => {
                    let (shape, real) = mask.try_extract_tensor::<bool>()?;
                    let mask = Mask { real, dims: &lengths(shape) };
                    for part in mask.parts(&dims) {
                        let values = T::widen(values.get(part).ok_or_else(|| ours("a mask beyond its tensor"))?);
                        self.observe(slot, Activation { values: &values, dims: &[values.len()] })?;
                    }
                }
            }
            (shape.to_vec(), values.as_ptr())
        };
        let mut output = context.output(0, shape)?.ok_or_else(missing)?;
        let (_, target) = output.try_extract_tensor_mut::<T>()?;
        // The alias is a promise of ours that the engine need not use: a graph output has memory of its own.
        if !std::ptr::eq(source, target.as_ptr()) {
            let input = context.input(0)?.ok_or_else(missing)?;
            target.copy_from_slice(input.try_extract_tensor::<T>()?.1);
        }
        Ok(())
    }
}
