//! [`TensorOperator`]: an operator of ours, `Y = f(X)` for a float tensor, in the form that the engine takes.

use std::{marker::PhantomData, ops::RangeInclusive};

use ort::{
    operator::{BoxedKernel, ComputeContext, KernelContext, Operator, OperatorInput, OperatorOutput},
    value::TensorElementType,
};

use super::{element::FloatElement, failure::ours};
use crate::numeric::FloatFormat;

/// The domain of our operators.
pub(super) const DOMAIN: &str = "ptqd";
/// The integer attribute of a node that says which of an operation's slots it works with.
pub(super) const SLOT: &str = "slot";

/// What an operator of ours does with a tensor, by slot.
pub(super) trait Operation: Clone + Send + Sync + 'static {
    /// Which output may have the memory of which input.
    const ALIASES: &[(u32, u32)];

    /// Whether there may be an input 1, of bool.
    const MASKED: bool;

    /// The operator's name for tensors of a format: the engine tells operators apart by name, not by element type.
    fn name(format: FloatFormat) -> &'static str;

    /// Reads input 0 and writes output 0, which has the same shape.
    fn compute<T: FloatElement>(&self, slot: usize, context: &ComputeContext) -> ort::Result<()>;
}

/// An operation on tensors of one element type.
pub(super) struct TensorOperator<T, P> {
    operation: P,
    element: PhantomData<T>,
}

impl<T, P: Operation> TensorOperator<T, P> {
    pub(super) fn new(operation: &P) -> Self {
        TensorOperator { operation: operation.clone(), element: PhantomData }
    }
}

impl<T: FloatElement, P: Operation> Operator for TensorOperator<T, P> {
    type Kernel<'attr> = BoxedKernel<'attr>;

    const ALIASES: &[(u32, u32)] = P::ALIASES;

    fn name(&self) -> &str {
        P::name(T::FORMAT)
    }

    fn versions(&self) -> RangeInclusive<u32> {
        1..=1
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        let mask = P::MASKED.then(|| OperatorInput::optional(TensorElementType::Bool));
        [OperatorInput::required(T::ELEMENT)].into_iter().chain(mask)
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(T::ELEMENT)]
    }

    fn create_kernel<'attr>(&self, context: &KernelContext<'attr>) -> ort::Result<Self::Kernel<'attr>> {
        let slot: i64 = context.get(SLOT).ok_or_else(|| ours("an operator without a slot"))?;
        let slot = usize::try_from(slot).map_err(|_| ours("a negative slot"))?;
        let operation = self.operation.clone();
        Ok(Box::new(move |context: &ComputeContext| operation.compute::<T>(slot, context)))
    }
}
