//! [`Operand`]: a constant that an operator computes with beside what is in codes, in codes of its own.

use crate::{
    backend::weights::WeightScheme,
    model::onnx::{Graph, TensorId, Use, constant},
    numeric::{DType, FloatFormat},
    quant::{Granularity, MinMax, QParams, Quotient, ScaleRule, Scheme, one_cell, qparams, simulate},
};

/// How its range becomes codes: spread over it like those of an activation, 0 included.
const SCHEME: Scheme = Scheme {
    dtype: DType::Int8,
    granularity: Granularity::PerTensor,
    rule: ScaleRule::RangeOverStepsOfAny,
    quotient: Quotient::Division,
    scale_format: None,
};

/// A constant operand that is to be in codes.
#[derive(Clone, Debug)]
pub(in crate::backend::modelopt) struct Operand {
    /// The layer that computes with it, as a position in the plan.
    pub(in crate::backend::modelopt) layer: usize,
    /// Where that reads it.
    pub(in crate::backend::modelopt) at: Use,
    /// The scale and zero point of all its elements.
    pub(in crate::backend::modelopt) params: QParams,
    elements: usize,
}

impl Operand {
    /// What a layer reads there in codes, if they stand for it closely enough: a single number they meet exactly.
    pub(super) fn new(graph: &Graph, layer: usize, at: Use, tensor: TensorId) -> Option<Self> {
        // A hundredth of its size, beside which the codes of what it is added to or multiplied with are coarse.
        const LEAST_DB: f64 = 40.0;
        let constant = constant(graph, tensor).ok()?.filter(|constant| constant.format == FloatFormat::F32)?;
        let values = constant.values();
        if values.is_empty() || !values.iter().all(|value| value.is_finite()) {
            return None;
        }
        let range = values.iter().fold(MinMax::EMPTY, |mut range, &value| {
            range.merge(MinMax { min: value, max: value });
            range
        });
        let mut params = qparams(range, &SCHEME, FloatFormat::F32);
        // Kernels may take what is smaller for 0.
        params.scale = params.scale.max(f32::MIN_POSITIVE);
        let mut decoded = vec![0.0; values.len()];
        let error = simulate(&values, &one_cell(values.len()), &SCHEME, Some(&[params]), &mut decoded).ok()?;
        let close = error.sqnr_db().is_none_or(|db| db >= LEAST_DB);
        close.then_some(Operand { layer, at, params, elements: values.len() })
    }

    /// Whether it has several elements.
    pub(in crate::backend::modelopt) fn is_tensor(&self) -> bool {
        self.elements > 1
    }

    /// The same as the scheme of a weight.
    pub(in crate::backend::modelopt) fn scheme(&self) -> WeightScheme {
        WeightScheme::new(SCHEME, one_cell(self.elements), FloatFormat::F32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::onnx::testing::GraphBuilder;

    fn operand(values: &[f32]) -> Option<(f32, u8)> {
        let graph = GraphBuilder::new().floats("c", &[values.len() as i64], values).node("Add", &["x", "c"], &["y"]);
        let graph = graph.build();
        let at = Use { node: graph.node_at(0).unwrap(), input: 1 };
        let operand = Operand::new(&graph, 0, at, graph.tensor("c").unwrap())?;
        Some((operand.params.scale, operand.params.unsigned_zero_point()))
    }

    #[test]
    fn a_constant_has_codes_over_its_range_if_they_stand_for_it_closely() {
        assert_eq!(operand(&[-1.0, 0.5, 254.0]), Some((1.0, 1)));
        assert_eq!(operand(&[2.0, 255.0]), Some((1.0, 0)), "0 is among the codes");
        // A bias of 3e-7 is far below torchao's least scale.
        assert_eq!(operand(&[255e-9, 1e-9]), Some((1e-9, 0)));
        let mut coarse = vec![0.4; 256];
        coarse[0] = 255.0;
        assert_eq!(operand(&coarse), None, "32 dB");
    }

    #[test]
    fn a_number_is_the_end_of_its_codes() {
        assert_eq!(operand(&[255.0]), Some((1.0, 0)));
        assert_eq!(operand(&[-255.0]), Some((1.0, 255)));
        assert_eq!(operand(&[0.0]), Some((f32::MIN_POSITIVE, 0)));
    }

    #[test]
    fn what_is_not_finite_or_nothing_has_no_codes() {
        assert_eq!((operand(&[f32::INFINITY]), operand(&[f32::NAN, 1.0]), operand(&[])), (None, None, None));
    }
}
