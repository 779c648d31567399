//! The domain of our operators, as it is registered with a session.

use half::f16;
use ort::operator::OperatorDomain;

use super::{
    observer::Slots,
    operator::{DOMAIN, TensorOperator},
    transform::Gates,
};
use crate::calibration::Observer;

/// Every operator of ours, over the observers and transforms of one session.
pub(super) fn domain<O: Observer>(slots: &Slots<O>, gates: &Gates) -> ort::Result<OperatorDomain> {
    OperatorDomain::new(DOMAIN)?
        .add(TensorOperator::<f32, _>::new(slots))?
        .add(TensorOperator::<f16, _>::new(slots))?
        .add(TensorOperator::<f32, _>::new(gates))?
        .add(TensorOperator::<f16, _>::new(gates))
}
