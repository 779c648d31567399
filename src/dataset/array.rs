//! [`Array`]: one named array in memory.

use std::ops::Range;

use super::DatasetError;
use crate::tensor::Shape;

/// Values in row-major order. Floats of every width come as f32, integers and booleans as i64.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Floats.
    Float(Vec<f32>),
    /// Integers.
    Int(Vec<i64>),
}

/// An array whose first axis counts samples.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    shape: Shape,
    values: Values,
}

impl Array {
    /// `None` if the number of values is not the shape's.
    pub fn new(shape: Shape, values: Values) -> Option<Self> {
        let len = match &values {
            Values::Float(v) => v.len(),
            Values::Int(v) => v.len(),
        };
        (len == shape.elements()).then_some(Array { shape, values })
    }

    /// The shape, samples first.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// All values.
    pub fn values(&self) -> &Values {
        &self.values
    }

    /// Number of samples; `None` of a scalar.
    pub fn samples(&self) -> Option<usize> {
        self.shape.dims().first().copied()
    }

    /// Where the values of some samples lie.
    pub fn range(&self, samples: Range<usize>) -> Range<usize> {
        let per_sample: usize = self.shape.dims().iter().skip(1).product();
        samples.start * per_sample..samples.end * per_sample
    }

    /// An error naming the first sample that holds a NaN or an infinity.
    pub(super) fn check_finite(&self, name: &str) -> Result<(), DatasetError> {
        let Values::Float(values) = &self.values else { return Ok(()) };
        let Some(position) = values.iter().position(|x| !x.is_finite()) else { return Ok(()) };
        let per_sample = self.range(0..1).len().max(1);
        Err(DatasetError::NotFinite { array: name.to_owned(), sample: position / per_sample })
    }
}
