//! Random numbers for a model's inputs, the same every time.

use std::collections::BTreeMap;

use ort::value::TensorElementType;

use super::{EngineError, InputInfo};
use crate::{
    dataset::{Array, Dataset, Values},
    tensor::Shape,
};

/// What an open dimension other than the batch becomes.
const OPEN_DIMENSION: usize = 64;
/// Values of one input at most; a model whose fixed dimensions ask for more has wrong ones.
const MOST_VALUES: usize = 1 << 28;

/// At least `samples` samples of standard normal numbers, or of zeros and ones for inputs that are integers.
pub fn random_inputs(inputs: &[InputInfo], samples: usize) -> Result<Dataset, EngineError> {
    let batch = inputs.iter().filter_map(|input| usize::try_from(*input.dims.first()?).ok()).max();
    let samples = samples.next_multiple_of(batch.unwrap_or(1).max(1));
    let mut arrays = BTreeMap::new();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for input in inputs {
        let others = input.dims.iter().skip(1).map(|&dim| usize::try_from(dim).unwrap_or(OPEN_DIMENSION));
        let unsupported = || EngineError::InputUnsupported {
            input: input.name.clone(),
            found: match &*input.dims {
                [] => format!("{:?} without an axis of samples", input.element),
                dims => format!("{:?} of dimensions {dims:?}", input.element),
            },
        };
        let shape = Shape::new([samples].into_iter().chain(others).collect()).map_err(|_| unsupported())?;
        let count = shape.elements();
        if input.dims.is_empty() || count > MOST_VALUES {
            return Err(unsupported());
        }
        let values = match input.element {
            TensorElementType::Float32 | TensorElementType::Float16 => {
                Values::Float((0..count).map(|_| normal(&mut state)).collect())
            }
            _ => Values::Int((0..count).map(|_| i64::from(uniform(&mut state) >= 0.5)).collect()),
        };
        arrays.insert(input.name.clone(), Array::from_values(shape, &values).ok_or_else(unsupported)?);
    }
    Ok(Dataset::from_arrays(arrays)?)
}

/// A number in 0..1 (xorshift64*, S. Vigna 2016).
fn uniform(state: &mut u64) -> f64 {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1u64 << 53) as f64
}

/// A standard normal number, by the method of Box and Muller.
fn normal(state: &mut u64) -> f32 {
    let (a, b) = (1.0 - uniform(state), uniform(state));
    ((-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos()) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_fill_the_inputs_and_are_the_same_every_time() {
        let inputs = [
            InputInfo { name: "x".into(), element: TensorElementType::Float32, dims: vec![3, 2, -1] },
            InputInfo { name: "ids".into(), element: TensorElementType::Int64, dims: vec![-1] },
        ];
        let data = random_inputs(&inputs, 16).unwrap();
        assert_eq!((data.samples(), data.arrays()["x"].shape().dims()), (18, &[18, 2, 64][..]));
        let read = |data: &Dataset| data.arrays()["x"].read("x", 0..18).unwrap();
        assert_eq!(read(&data), read(&random_inputs(&inputs, 16).unwrap()));
        let Values::Float(x) = read(&data) else { panic!("not floats") };
        let mean = x.iter().map(|&x| f64::from(x)).sum::<f64>() / x.len() as f64;
        let square = x.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / x.len() as f64;
        assert!(mean.abs() < 0.1 && (square - 1.0).abs() < 0.1, "{mean} {square}");
        let huge =
            InputInfo { name: "x".into(), element: TensorElementType::Float32, dims: vec![-1, 1 << 40, 1 << 40] };
        assert!(matches!(random_inputs(&[huge], 1), Err(EngineError::InputUnsupported { .. })));
    }
}
