//! Where weights come from: something to read from, and its rows.

use std::{borrow::Cow, ops::Range};

use crate::{
    backend::{
        BackendError,
        weights::{EncodedWeight, WeightScheme},
    },
    quant::{QuantError, Rect},
};

/// Reads some bytes of a tensor, counted in row-major order. Fewer come back where the tensor is shorter than it must be.
pub(in crate::backend) type Read<'a> = Box<dyn Fn(Range<usize>) -> Cow<'a, [u8]> + Sync + 'a>;

/// A weight on its way.
pub(in crate::backend) struct Weight<'a> {
    /// Its name, for errors.
    pub(in crate::backend) name: &'a str,
    /// How it is quantized.
    pub(in crate::backend) scheme: &'a WeightScheme,
    /// Where its codes go.
    pub(in crate::backend) encoded: &'a EncodedWeight,
    /// The scales that some cells must have, 0 for the others.
    pub(in crate::backend) given: Option<&'a [f32]>,
    /// Reads its elements, as they lie in the source file.
    pub(in crate::backend) read: Read<'a>,
}

/// A tensor that is carried over unchanged.
pub(in crate::backend) struct Unchanged<'a> {
    /// Its name in the sink.
    pub(in crate::backend) name: &'a str,
    pub(in crate::backend) bytes: usize,
    pub(in crate::backend) read: Read<'a>,
}

impl<'d> Weight<'d> {
    /// The rows of a part, read at once where the part is contiguous.
    pub(super) fn rows<'w>(&'w self, rect: &'w Rect) -> Rows<'w, 'd> {
        let spans = rect.columns.len() == self.scheme.grid.columns;
        let whole = spans.then(|| (self.read)(self.position(rect.rows.start, 0)..self.position(rect.rows.end, 0)));
        Rows { weight: self, rect, whole }
    }

    /// The error of this weight.
    pub(super) fn failed(&self, source: QuantError) -> BackendError {
        BackendError::Weight { tensor: self.name.to_owned(), source }
    }

    /// Where an element begins, in bytes.
    fn position(&self, row: usize, column: usize) -> usize {
        (row * self.scheme.grid.columns + column) * self.scheme.format.size()
    }
}

/// The rows of a part.
pub(super) struct Rows<'w, 'd> {
    weight: &'w Weight<'d>,
    rect: &'w Rect,
    whole: Option<Cow<'d, [u8]>>,
}

impl Rows<'_, '_> {
    /// The part's columns of a row. Empty where the source is shorter than it must be, which the block refuses.
    pub(super) fn row(&self, row: usize) -> Cow<'_, [u8]> {
        let columns = &self.rect.columns;
        let range = self.weight.position(row, columns.start)..self.weight.position(row, columns.end);
        match &self.whole {
            Some(whole) => {
                let first = self.weight.position(self.rect.rows.start, 0);
                Cow::Borrowed(whole.get(range.start - first..range.end - first).unwrap_or_default())
            }
            None => (self.weight.read)(range),
        }
    }
}
