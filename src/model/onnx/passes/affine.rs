//! [`Affine`]: what a node makes of each channel of a layer's output, if that is a factor and a shift.

use crate::model::onnx::{Constant, Graph, NodeId, OnnxError, TensorId, constant, float_attribute, int_attribute};

/// `(x − mean) · factor + shift` for each channel, in f64.
pub(super) struct Affine {
    mean: Vec<f64>,
    factor: Vec<f64>,
    shift: Vec<f64>,
}

/// What ONNX adds to the variance where a node does not say.
const DEFAULT_EPSILON: f32 = 1e-5;

impl Affine {
    /// Goes on from `x · factor + bias`, one of each for a channel.
    pub(super) fn apply(&self, factors: &mut [f64], biases: &mut [f64]) {
        let Affine { mean, factor, shift } = self;
        let channels = mean.iter().zip(factor.iter().zip(shift));
        for ((mean, (factor, shift)), (factors, bias)) in channels.zip(factors.iter_mut().zip(biases)) {
            *factors *= factor;
            *bias = (*bias - mean) * factor + shift;
        }
    }

    /// Of a BatchNormalization, `y = (x − mean) / √(variance + ε) · γ + β`.
    pub(super) fn of_batch_norm(graph: &Graph, norm: NodeId, channels: usize) -> Result<Option<Self>, OnnxError> {
        let inference = int_attribute(graph.node(norm), "training_mode").unwrap_or(0) == 0
            && graph.output(norm, 0).is_some()
            && graph.outputs_of(norm).count() == 1;
        let values = |input: usize| -> Result<Option<Vec<f64>>, OnnxError> {
            let found = graph.input(norm, input).filter(|_| inference).map(|tensor| constant(graph, tensor));
            let found = found.transpose()?.flatten();
            let found = found.filter(|c| c.shape.elements() == channels && c.shape.rank() == 1);
            Ok(found.and_then(|constant| numbers(&constant)))
        };
        let [Some(gamma), Some(shift), Some(mean), Some(variance)] = [values(1)?, values(2)?, values(3)?, values(4)?]
        else {
            return Ok(None);
        };
        let epsilon = f64::from(float_attribute(graph.node(norm), "epsilon").unwrap_or(DEFAULT_EPSILON));
        let factor = gamma.iter().zip(&variance).map(|(gamma, variance)| gamma / (variance + epsilon).sqrt()).collect();
        Ok(Some(Affine { mean, factor, shift }))
    }

    /// Of a Mul, Div, Add or Sub with a constant that has one number for all channels, or one for each: for the layer's output
    /// `x` of this rank, whose channels are along axis 1.
    pub(super) fn of_constant(
        graph: &Graph,
        node: NodeId,
        x: TensorId,
        rank: usize,
        channels: usize,
    ) -> Result<Option<Self>, OnnxError> {
        let Some(op) = graph.op(node).filter(|op| ["Mul", "Div", "Add", "Sub"].contains(op)) else { return Ok(None) };
        let other = match (graph.input(node, 0), graph.input(node, 1)) {
            (Some(first), Some(other)) if first == x && other != x => other,
            (Some(other), Some(second)) if second == x && other != x && matches!(op, "Mul" | "Add") => other,
            _ => return Ok(None),
        };
        let values = constant(graph, other)?.filter(|constant| is_per_channel(constant.shape.dims(), rank, channels));
        let Some(mut values) = values.and_then(|constant| numbers(&constant)) else { return Ok(None) };
        if let [one] = values[..] {
            values = vec![one; channels];
        }
        let (ones, zeros) = (vec![1.0; channels], vec![0.0; channels]);
        Ok(Some(match op {
            "Mul" => Affine { mean: zeros.clone(), factor: values, shift: zeros },
            "Div" => {
                Affine { mean: zeros.clone(), factor: values.iter().map(|value| 1.0 / value).collect(), shift: zeros }
            }
            "Add" => Affine { mean: zeros, factor: ones, shift: values },
            _ => Affine { mean: values, factor: ones, shift: zeros },
        }))
    }
}

/// Whether a constant of these dimensions is repeated along all axes of an output of this rank but that of the channels.
fn is_per_channel(dims: &[usize], rank: usize, channels: usize) -> bool {
    let Some(missing) = rank.checked_sub(dims.len()) else { return false };
    dims.iter().enumerate().all(|(axis, &dim)| dim == 1 || (missing + axis == 1 && dim == channels))
}

fn numbers(constant: &Constant<'_>) -> Option<Vec<f64>> {
    Some(constant.format.decode(constant.view()?.bytes()).into_iter().map(f64::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_is_for_channels_where_all_other_axes_have_one_element() {
        for dims in [&[][..], &[1], &[3, 1, 1], &[1, 3, 1, 1], &[1, 1, 1, 1]] {
            assert!(is_per_channel(dims, 4, 3), "{dims:?}");
        }
        for dims in [&[3][..], &[1, 3], &[3, 1, 1, 1], &[2, 1, 1], &[1, 1, 3, 1, 1]] {
            assert!(!is_per_channel(dims, 4, 3), "{dims:?}");
        }
        assert!(is_per_channel(&[3], 2, 3) && is_per_channel(&[1, 3], 2, 3));
    }
}
