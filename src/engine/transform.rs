//! The operator that replaces a tensor's values, where its gate is on: `Y = f(X)`, else `Y = X`.
//!
//! With it one session computes a network as it is and as any choice of its layers would be after quantization, without
//! being loaded again.

use std::{
    fmt::Debug,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

use ort::operator::ComputeContext;

use super::{element::FloatElement, failure::ours, operator::Operation};
use crate::numeric::FloatFormat;

/// What becomes of a tensor's values.
pub trait TensorTransform: Debug + Send + Sync {
    /// Writes to `changed` what `values` become; both have one entry for each element, in row-major order.
    fn apply(&self, values: &[f32], changed: &mut [f32]) -> Result<(), String>;
}

/// What a gate does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Gate {
    /// Values pass as they are.
    Off,
    /// Values pass as they are; the change sees them all the same.
    Watch,
    /// Values are replaced by what the change makes of them.
    On,
}

/// The changes of one session, by slot, all off at first.
#[derive(Clone, Debug, Default)]
pub struct Gates(Arc<Vec<(AtomicU8, Box<dyn TensorTransform>)>>);

impl Gates {
    /// A gate for each change.
    pub fn new(changes: impl IntoIterator<Item = Box<dyn TensorTransform>>) -> Self {
        let off = |change| (AtomicU8::new(Gate::Off as u8), change);
        Gates(Arc::new(changes.into_iter().map(off).collect()))
    }

    /// Sets every gate; `to` says how, by slot.
    pub fn set(&self, to: impl Fn(usize) -> Gate) {
        self.0.iter().enumerate().for_each(|(slot, (gate, _))| gate.store(to(slot) as u8, Ordering::Relaxed));
    }

    /// Writes what values become in a slot.
    fn apply(&self, slot: usize, values: &[f32], out: &mut [f32]) -> ort::Result<()> {
        let (gate, change) = self.0.get(slot).ok_or_else(|| ours("no such gate"))?;
        let state = gate.load(Ordering::Relaxed);
        if state != Gate::Off as u8 {
            change.apply(values, out).map_err(ort::Error::new)?;
        }
        if state != Gate::On as u8 {
            out.copy_from_slice(values);
        }
        Ok(())
    }
}

/// The operator's name for tensors of a format.
pub(super) const fn op(format: FloatFormat) -> &'static str {
    match format {
        FloatFormat::F16 => "ReplaceHalf",
        FloatFormat::F32 | FloatFormat::Bf16 => "Replace",
    }
}

impl Operation for Gates {
    const ALIASES: &[(u32, u32)] = &[];
    const MASKED: bool = false;

    fn name(format: FloatFormat) -> &'static str {
        op(format)
    }

    fn compute<T: FloatElement>(&self, slot: usize, context: &ComputeContext) -> ort::Result<()> {
        let input = context.input(0)?.ok_or_else(|| ours("a transform without an input"))?;
        let (shape, values) = input.try_extract_tensor::<T>()?;
        let mut output = context.output(0, shape.to_vec())?.ok_or_else(|| ours("a transform without an output"))?;
        let (_, target) = output.try_extract_tensor_mut::<T>()?;
        T::fill(target, |out| self.apply(slot, &T::widen(values), out))
    }
}
