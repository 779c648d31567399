//! The operator that watches a tensor: `Y = X`, and an observer sees the values on the way.
//!
//! It is put in line, between a tensor and its consumers, with its output aliasing its input, so the engine neither
//! keeps an activation longer than without it nor copies one.

use std::{
    marker::PhantomData,
    ops::RangeInclusive,
    sync::{Arc, Mutex, PoisonError},
};

use half::f16;
use ort::{
    operator::{BoxedKernel, ComputeContext, KernelContext, Operator, OperatorDomain, OperatorInput, OperatorOutput},
    value::{IntoTensorElementType, PrimitiveTensorElementType, TensorElementType},
};

use crate::{calibration::Statistics, numeric::FloatFormat};

/// The operator's domain.
pub(super) const DOMAIN: &str = "ptqd";

/// What the observers of one session have seen, by slot.
#[derive(Clone, Debug)]
pub struct Slots(Arc<Vec<Mutex<Statistics>>>);

impl Slots {
    /// One slot for each observer.
    pub fn new(statistics: impl IntoIterator<Item = Statistics>) -> Self {
        Slots(Arc::new(statistics.into_iter().map(Mutex::new).collect()))
    }

    /// What each observer has seen so far.
    pub fn statistics(&self) -> Vec<Statistics> {
        self.0.iter().map(|slot| slot.lock().unwrap_or_else(PoisonError::into_inner).clone()).collect()
    }

    fn observe(&self, slot: usize, values: &[f32]) -> ort::Result<()> {
        let slot = self.0.get(slot).ok_or_else(|| ort::Error::new("no such observer slot"))?;
        slot.lock().unwrap_or_else(PoisonError::into_inner).observe(values);
        Ok(())
    }
}

/// The domain to register with a session whose graph has observers.
pub(super) fn domain(slots: &Slots) -> ort::Result<OperatorDomain> {
    OperatorDomain::new(DOMAIN)?
        .add(Observe::<f32>(slots.clone(), PhantomData))?
        .add(Observe::<f16>(slots.clone(), PhantomData))
}

/// An element type that can be watched.
trait Watched: PrimitiveTensorElementType + IntoTensorElementType + Copy + Send + Sync + 'static {
    const ELEMENT: TensorElementType;
    const OP: &str;
    fn observe(slots: &Slots, slot: usize, values: &[Self]) -> ort::Result<()>;
}

impl Watched for f32 {
    const ELEMENT: TensorElementType = TensorElementType::Float32;
    const OP: &str = op(FloatFormat::F32);

    fn observe(slots: &Slots, slot: usize, values: &[Self]) -> ort::Result<()> {
        slots.observe(slot, values)
    }
}

impl Watched for f16 {
    const ELEMENT: TensorElementType = TensorElementType::Float16;
    const OP: &str = op(FloatFormat::F16);

    fn observe(slots: &Slots, slot: usize, values: &[Self]) -> ort::Result<()> {
        const PART: usize = 1 << 14;
        let mut wide = Vec::with_capacity(PART.min(values.len()));
        for part in values.chunks(PART) {
            wide.clear();
            wide.extend(part.iter().map(|x| x.to_f32()));
            slots.observe(slot, &wide)?;
        }
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

struct Observe<T>(Slots, PhantomData<T>);

impl<T: Watched> Operator for Observe<T> {
    type Kernel<'attr> = BoxedKernel<'attr>;

    const ALIASES: &[(u32, u32)] = &[(0, 0)];

    fn name(&self) -> &str {
        T::OP
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
        let slot: i64 = context.get("slot").ok_or_else(|| ort::Error::new("an observer without a slot"))?;
        let slot = usize::try_from(slot).map_err(|_| ort::Error::new("a negative observer slot"))?;
        let slots = self.0.clone();
        Ok(Box::new(move |context: &ComputeContext| {
            let missing = || ort::Error::new("an observer without an input");
            let (shape, source) = {
                let input = context.input(0)?.ok_or_else(missing)?;
                let (shape, values) = input.try_extract_tensor::<T>()?;
                T::observe(&slots, slot, values)?;
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
