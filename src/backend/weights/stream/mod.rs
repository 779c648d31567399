//! Weights from where they lie to where they go, part by part, several parts in flight.
//!
//! A part is a few hundred kilobytes: read from the mapped file, encoded while it is in the processor's cache, and written
//! to its place in the new file. Memory is a few buffers, whatever the size of the model. A weight is something to read
//! from, and a sink something to write to.

mod buffers;
mod output;
mod source;
mod tasks;

use std::{
    borrow::Cow,
    ops::Range,
    sync::{Mutex, PoisonError},
};

use self::{buffers::Buffer, output::Output, tasks::run_all};
use super::{WeightScheme, encoders::Known};
use crate::{
    backend::BackendError,
    control::PhaseMeter,
    quant::{Block, ErrorStats, Grid, MinMax, PART_ELEMENTS, QParams, Rect, kernels::Isa},
};

pub(in crate::backend) use self::{
    buffers::Buffers,
    output::Sink,
    source::{Unchanged, Weight},
};

/// Bytes copied at a time.
const COPY_BYTES: usize = 1 << 20;

/// What all parts share.
pub(in crate::backend) struct Stream<'a, 'b> {
    sink: &'a dyn Sink,
    buffers: &'a Buffers<'b>,
    meter: &'a PhaseMeter<'a>,
}

enum Task<'t, 'w, 'u> {
    Copy(&'t Unchanged<'u>, Range<usize>),
    Encode { number: usize, weight: &'t Weight<'w>, rect: Rect },
}

/// What a part leaves behind.
#[derive(Default)]
struct Part {
    error: ErrorStats,
    /// Of the cells that begin in the part, where the weight has any.
    zero_points: Vec<i8>,
}

impl<'a, 'b> Stream<'a, 'b> {
    /// A stream into one file. The meter is told of every source byte.
    pub(in crate::backend) fn new(sink: &'a dyn Sink, buffers: &'a Buffers<'b>, meter: &'a PhaseMeter<'a>) -> Self {
        Stream { sink, buffers, meter }
    }

    /// Writes all tensors. What each weight cost, in their order; the same whatever the number of threads.
    pub(in crate::backend) fn run(
        &self,
        weights: &[Weight<'_>],
        unchanged: &[Unchanged<'_>],
    ) -> Result<Vec<ErrorStats>, BackendError> {
        for (tensor, bytes) in weights.iter().flat_map(|weight| &weight.encoded.constants) {
            self.sink.write(&tensor.name, 0, bytes)?;
        }
        let (mut tasks, mut later) = (Vec::new(), Vec::new());
        for tensor in unchanged {
            let starts = (0..tensor.bytes).step_by(COPY_BYTES);
            tasks.extend(starts.map(|start| Task::Copy(tensor, start..tensor.bytes.min(start + COPY_BYTES))));
        }
        for (number, weight) in weights.iter().enumerate() {
            let cut = weight.scheme.encoder.cut(&weight.scheme.grid);
            match cut.ahead {
                None => tasks.extend(cut.parts.into_iter().map(|rect| Task::Encode { number, weight, rect })),
                Some(ahead) => later.push((number, weight, cut.parts, ahead)),
            }
        }
        let parts = run_all(&tasks, |task| match task {
            Task::Copy(tensor, range) => self.copy(tensor, range).map(|()| Part::default()),
            Task::Encode { weight, rect, .. } => self.encode(weight, rect, Known { parameters: None }),
        })?;
        let mut encoded: Vec<Vec<(Rect, Part)>> = weights.iter().map(|_| Vec::new()).collect();
        for (task, part) in tasks.into_iter().zip(parts) {
            if let Task::Encode { number, rect, .. } = task {
                encoded[number].push((rect, part));
            }
        }
        for (number, weight, parts, ahead) in later {
            encoded[number] = self.two_passes(weight, parts, &ahead)?;
        }
        weights.iter().zip(encoded).map(|(weight, parts)| self.conclude(weight, &parts)).collect()
    }

    fn copy(&self, tensor: &Unchanged<'_>, range: &Range<usize>) -> Result<(), BackendError> {
        self.sink.write(tensor.name, range.start as u64, &(tensor.read)(range.clone()))?;
        Ok(self.meter.advance(range.len() as u64)?)
    }

    fn encode(&self, weight: &Weight<'_>, rect: &Rect, known: Known<'_>) -> Result<Part, BackendError> {
        let mut lent = self.buffers.take()?;
        let Buffer { encoded, packed, .. } = &mut lent.buffer;
        let WeightScheme { scheme, grid, format, encoder } = weight.scheme;
        let output = self.output(weight);
        let rows = weight.rows(rect);
        let row = |row: usize| rows.row(row);
        let block = Block { format: *format, grid, rect, isa: Isa::best(), row: &row };
        let error = encoder.encode(scheme, &block, known, encoded).map_err(|source| weight.failed(source))?;
        let own = grid.cells_begun_in(rect);
        let params = own_params(&grid.cells_of(rect), &own, &encoded.params);
        if !params.is_empty() {
            output.scales(&own, &params, packed)?;
        }
        output.codes(rect, &encoded.codes, packed)?;
        self.meter.advance((rect.elements() * format.size()) as u64)?;
        let zero_points = weight.encoded.zero_points.as_ref().map(|_| params.iter().map(|p| p.zero_point).collect());
        Ok(Part { error, zero_points: zero_points.unwrap_or_default() })
    }

    /// Adds up what the parts of a weight cost, and writes its zero points.
    fn conclude(&self, weight: &Weight<'_>, parts: &[(Rect, Part)]) -> Result<ErrorStats, BackendError> {
        if let Some(place) = weight.encoded.zero_points.as_ref().filter(|_| !parts.is_empty()) {
            let grid = &weight.scheme.grid;
            let of_parts = parts.iter().map(|(rect, part)| (grid.cells_begun_in(rect), &part.zero_points[..]));
            self.output(weight).zero_points(place, of_parts, self.buffers.budget)?;
        }
        let mut error = ErrorStats::default();
        parts.iter().for_each(|(_, part)| error.merge(&part.error));
        Ok(error)
    }

    /// One pass for the ranges of the cells of `ahead`, one for the codes.
    fn two_passes(
        &self,
        weight: &Weight<'_>,
        parts: Vec<Rect>,
        ahead: &Grid,
    ) -> Result<Vec<(Rect, Part)>, BackendError> {
        let WeightScheme { scheme, format, encoder, .. } = weight.scheme;
        let cells = ahead.cells_of(&ahead.whole()).elements();
        let _reserved = self.buffers.budget.reserve(((size_of::<MinMax>() + size_of::<QParams>()) * cells) as u64)?;
        let parameters = encoder.parameters(&self.ranges(weight, ahead, cells)?, scheme, *format);
        let known = Known { parameters: Some(&parameters) };
        let encoded = run_all(&parts, |rect| self.encode(weight, rect, known))?;
        Ok(parts.into_iter().zip(encoded).collect())
    }

    /// The ranges of all cells of a grid over a weight.
    fn ranges(&self, weight: &Weight<'_>, grid: &Grid, cells: usize) -> Result<Vec<MinMax>, BackendError> {
        let WeightScheme { scheme, format, .. } = weight.scheme;
        let ranges = Mutex::new(vec![MinMax::EMPTY; cells]);
        run_all(&grid.pieces(PART_ELEMENTS), |rect| {
            let cells = grid.cells_of(rect);
            let _reserved = self.buffers.budget.reserve((size_of::<MinMax>() * cells.elements()) as u64)?;
            let mut own = vec![MinMax::EMPTY; cells.elements()];
            let rows = weight.rows(rect);
            let row = |row: usize| rows.row(row);
            let block = Block { format: *format, grid, rect, isa: Isa::best(), row: &row };
            block.observe(scheme, &mut own).map_err(|source| weight.failed(source))?;
            // Minimum and maximum do not depend on the order in which parts come.
            let mut all = ranges.lock().unwrap_or_else(PoisonError::into_inner);
            for (run, part) in grid.runs(&cells).zip(own.chunks(cells.columns.len().max(1))) {
                all[run].iter_mut().zip(part).for_each(|(cell, &range)| cell.merge(range));
            }
            Ok(())
        })?;
        Ok(ranges.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    fn output<'w>(&'w self, weight: &'w Weight<'_>) -> Output<'w> {
        Output { sink: self.sink, grid: &weight.scheme.grid, encoded: weight.encoded }
    }
}

/// Of the parameters of the cells that a part touches those of its own cells, which begin in it: cells that parts share are
/// written by one of them.
fn own_params<'p>(touched: &Rect, own: &Rect, params: &'p [QParams]) -> Cow<'p, [QParams]> {
    if touched == own {
        return Cow::Borrowed(params);
    }
    let rows = params.chunks(touched.columns.len().max(1)).skip(own.rows.start - touched.rows.start);
    let skipped = own.columns.start - touched.columns.start;
    Cow::Owned(rows.flat_map(|row| row.iter().skip(skipped)).copied().collect())
}
