//! Where weights go: codes, scales and zero points of parts, each to its place in its tensor.

use std::ops::Range;

use crate::{
    backend::{
        BackendError,
        weights::{EncodedWeight, Runs, ZeroPoints},
    },
    control::MemoryBudget,
    numeric::Packing,
    quant::{Grid, QParams, Rect},
    tensor::Channels,
};

/// Where tensors are written to.
pub(in crate::backend) trait Sink: Sync {
    /// Writes a part of a tensor, `offset` bytes from its start.
    fn write(&self, tensor: &str, offset: u64, bytes: &[u8]) -> Result<(), BackendError>;
}

/// The tensors of one weight in a sink.
pub(super) struct Output<'a> {
    pub(super) sink: &'a dyn Sink,
    pub(super) grid: &'a Grid,
    pub(super) encoded: &'a EncodedWeight,
}

impl Output<'_> {
    /// Writes the codes of a part; `packed` is a buffer.
    pub(super) fn codes(&self, rect: &Rect, codes: &[u8], packed: &mut Vec<u8>) -> Result<(), BackendError> {
        let packing = self.encoded.packing;
        let bytes = if packing == Packing::Bytes {
            codes
        } else {
            packing.pack(codes, rect.columns.len(), packed);
            packed
        };
        // A part that does not span the rows begins between words of packed codes.
        let first = packing.row_bytes(rect.columns.start);
        let width = packing.row_bytes(rect.columns.len());
        let row_bytes = packing.row_bytes(self.grid.columns);
        self.rows(&self.encoded.codes.name, row_bytes, &rect.rows, first..first + width, bytes)
    }

    /// Writes the scales of some cells; `bytes` is a buffer.
    pub(super) fn scales(&self, cells: &Rect, params: &[QParams], bytes: &mut Vec<u8>) -> Result<(), BackendError> {
        let (_, across) = self.grid.cells();
        let format = self.encoded.scale_format;
        let size = format.spec().size;
        bytes.clear();
        format.encode(params.iter().map(|params| params.scale), bytes);
        let columns = cells.columns.start * size..cells.columns.end * size;
        self.rows(&self.encoded.scales.name, across * size, &cells.rows, columns, bytes)
    }

    /// Writes `bytes`, which are the bytes `columns` of the `rows` of a tensor whose rows have `row_bytes`.
    fn rows(
        &self,
        name: &str,
        row_bytes: usize,
        rows: &Range<usize>,
        columns: Range<usize>,
        bytes: &[u8],
    ) -> Result<(), BackendError> {
        if columns.len() == row_bytes {
            return self.sink.write(name, (rows.start * row_bytes) as u64, bytes);
        }
        for (row, bytes) in rows.clone().zip(bytes.chunks(columns.len().max(1))) {
            self.sink.write(name, (row * row_bytes + columns.start) as u64, bytes)?;
        }
        Ok(())
    }

    /// Writes the zero points of all cells, put together from those of some cells each.
    pub(super) fn zero_points<'p>(
        &self,
        place: &ZeroPoints,
        parts: impl Iterator<Item = (Rect, &'p [i8])>,
        budget: &MemoryBudget,
    ) -> Result<(), BackendError> {
        let (down, across) = self.grid.cells();
        let _reserved = budget.reserve(2 * (down * across) as u64)?;
        let mut all = vec![0u8; down * across];
        for (cells, part) in parts {
            for (run, part) in self.grid.runs(&cells).zip(part.chunks(cells.columns.len().max(1))) {
                let run = all.get_mut(run).unwrap_or_default();
                run.iter_mut().zip(part).for_each(|(byte, &zero)| *byte = zero as u8);
            }
        }
        let mut packed = Vec::new();
        match place.runs {
            Runs::All => place.packing.pack(&all, all.len(), &mut packed),
            Runs::Rows => place.packing.pack(&all, across, &mut packed),
            Runs::Columns => {
                // Packed as rows of the transposed matrix, and transposed back.
                let (mut columns, mut words, mut bytes) = (Vec::new(), Vec::new(), Vec::new());
                Channels { outer: down, channels: across, inner: 1 }.to_front(&all, &mut columns);
                place.packing.pack(&columns, down, &mut words);
                let words = words.as_chunks::<4>().0;
                Channels { outer: across, channels: words.len() / across.max(1), inner: 1 }.to_front(words, &mut bytes);
                packed = bytes.into_flattened();
            }
        }
        self.sink.write(&place.tensor.name, 0, &packed)
    }
}
