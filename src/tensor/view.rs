//! [`TensorView`]: the bytes of a float tensor, with a length that was checked against its shape.

use super::Shape;
use crate::numeric::FloatFormat;

/// A float tensor in row-major order, borrowed from wherever its bytes lie.
#[derive(Clone, Copy, Debug)]
pub struct TensorView<'a> {
    format: FloatFormat,
    shape: &'a Shape,
    bytes: &'a [u8],
}

impl<'a> TensorView<'a> {
    /// `None` if the number of bytes is not the shape's.
    pub fn new(format: FloatFormat, shape: &'a Shape, bytes: &'a [u8]) -> Option<Self> {
        (shape.bytes(8 * format.size()) == Some(bytes.len())).then_some(TensorView { format, shape, bytes })
    }

    /// The format of the elements.
    pub fn format(&self) -> FloatFormat {
        self.format
    }

    /// The shape, whose size the bytes have.
    pub fn shape(&self) -> &'a Shape {
        self.shape
    }

    /// The elements' bytes, little endian.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }
}
