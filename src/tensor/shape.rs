//! [`Shape`]: dimensions whose products were checked once and can be relied on after.

use std::fmt;

use serde::Serialize;

/// The dimensions of a tensor. The number of elements is known to fit a `usize`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Shape(Vec<usize>);

/// Dimensions that no tensor in memory can have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the message says what each field is")]
pub enum ShapeError {
    /// A dimension is negative.
    #[error("dimension {axis} is {value}")]
    Negative { axis: usize, value: i64 },
    /// The product of the dimensions does not fit the address space.
    #[error("the dimensions {dims:?} multiply beyond the address space")]
    Overflow { dims: Vec<usize> },
}

impl Shape {
    /// Checks that the number of elements can be counted.
    pub fn new(dims: Vec<usize>) -> Result<Self, ShapeError> {
        // Zero dimensions must not hide an overflow of the others: the strides are computed from them as well.
        let product = dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d.max(1)));
        match product {
            Some(n) if n <= isize::MAX as usize => Ok(Shape(dims)),
            _ => Err(ShapeError::Overflow { dims }),
        }
    }

    /// The same from the signed dimensions of a file format.
    pub fn from_signed(dims: &[i64]) -> Result<Self, ShapeError> {
        let dims = dims
            .iter()
            .enumerate()
            .map(|(axis, &value)| usize::try_from(value).map_err(|_| ShapeError::Negative { axis, value }));
        Shape::new(dims.collect::<Result<_, _>>()?)
    }

    /// The dimensions, outermost first; none for a scalar.
    pub fn dims(&self) -> &[usize] {
        &self.0
    }

    /// The same dimensions in the opposite order.
    pub fn reversed(&self) -> Shape {
        Shape(self.0.iter().rev().copied().collect())
    }

    /// The number of dimensions.
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// The number of elements; 1 for a scalar.
    pub fn elements(&self) -> usize {
        self.0.iter().product()
    }

    /// The number of bytes at `bits` per element, each element's bits packed.
    pub fn bytes(&self, bits: usize) -> Option<usize> {
        Some(self.elements().checked_mul(bits)?.div_ceil(8))
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dims: Vec<String> = self.0.iter().map(usize::to_string).collect();
        write!(f, "[{}]", dims.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_elements_and_bytes() {
        let shape = Shape::new(vec![3, 5]).unwrap();
        assert_eq!((shape.elements(), shape.bytes(32), shape.bytes(4)), (15, Some(60), Some(8)));
        assert_eq!(Shape::new(vec![]).unwrap().elements(), 1);
        assert_eq!(Shape::new(vec![0, 7]).unwrap().elements(), 0);
    }

    #[test]
    fn refuses_what_overflows_even_behind_a_zero() {
        assert!(Shape::new(vec![usize::MAX, 2]).is_err());
        assert!(Shape::new(vec![0, usize::MAX, 2]).is_err());
        assert_eq!(Shape::from_signed(&[4, -1]), Err(ShapeError::Negative { axis: 1, value: -1 }));
    }
}
