//! The operator that watches a tensor: `Y = X`, and an observer sees the values on the way.
//!
//! It is put in line, between a tensor and its consumers, with its output aliasing its input, so the engine neither
//! keeps an activation longer than without it nor copies one.

use std::{
    marker::PhantomData,
    ops::RangeInclusive,
    sync::{Arc, Mutex, PoisonError},
};

use ort::operator::{BoxedKernel, ComputeContext, KernelContext, Operator, OperatorInput, OperatorOutput};

use super::element::{FloatElement, slot_of};
use crate::{calibration::Observer, numeric::FloatFormat};

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

    fn observe(&self, slot: usize, values: &[f32]) -> ort::Result<()> {
        let slot = self.0.get(slot).ok_or_else(|| ort::Error::new("no such observer slot"))?;
        slot.lock().unwrap_or_else(PoisonError::into_inner).observe(values);
        Ok(())
    }
}

/// The operator's name for tensors of a format. Its integer attribute `slot` says which observer sees the values.
pub(super) const fn op(format: FloatFormat) -> &'static str {
    match format {
        FloatFormat::F16 => "ObserveHalf",
        FloatFormat::F32 | FloatFormat::Bf16 => "Observe",
    }
}

/// The operator.
pub(super) struct Observe<T, O>(pub(super) Slots<O>, pub(super) PhantomData<T>);

impl<T: FloatElement, O: Observer> Operator for Observe<T, O> {
    type Kernel<'attr> = BoxedKernel<'attr>;

    const ALIASES: &[(u32, u32)] = &[(0, 0)];

    fn name(&self) -> &str {
        op(T::FORMAT)
    }

    fn versions(&self) -> RangeInclusive<u32> {
        1..=1
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        [OperatorInput::required(T::ELEMENT)]
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(T::ELEMENT)]
    }

    fn create_kernel<'attr>(&self, context: &KernelContext<'attr>) -> ort::Result<Self::Kernel<'attr>> {
        let slot = slot_of(context)?;
        let slots = self.0.clone();
        Ok(Box::new(move |context: &ComputeContext| {
            let missing = || ort::Error::new("an observer without an input");
            let (shape, source) = {
                let input = context.input(0)?.ok_or_else(missing)?;
                let (shape, values) = input.try_extract_tensor::<T>()?;
                slots.observe(slot, &T::widen(values))?;
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
        }))
    }
}
