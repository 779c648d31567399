//! Weights from where they lie to where they go, part by part, several parts in flight.
//!
//! A part is a few hundred kilobytes: read from the mapped file, quantized while it is in the processor's cache, and
//! written to its place in the new file. Memory is a few buffers, whatever the size of the model. Knows nothing of
//! checkpoints or graphs: a weight is something to read from, and a sink something to write to.

use std::{
    borrow::Cow,
    ops::Range,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use rayon::prelude::*;

use super::{
    BackendError,
    stored::{EncodedWeight, WeightScheme, ZeroPointForm, ZeroPoints},
};
use crate::{
    control::{MemoryBudget, OverBudget, PhaseMeter, Reservation},
    numeric::FloatFormat,
    quant::{Block, ErrorStats, MinMax, PART_ELEMENTS, Packing, QParams, Rect, kernels::Isa, qparams},
    tensor::Channels,
};

/// What a part's buffers may take together: codes, packed codes, a scale for each 32 elements, and a strided source.
const BUFFER_BYTES: u64 = 2 << 20;

/// Bytes copied at a time.
const COPY_BYTES: usize = 1 << 20;

/// Where tensors are written to.
pub(super) trait Sink: Sync {
    /// Writes a part of a tensor, `offset` bytes from its start.
    fn write(&self, tensor: &str, offset: u64, bytes: &[u8]) -> Result<(), BackendError>;
}

/// Reads some bytes of a tensor, counted in row-major order.
pub(super) type Read<'a> = Box<dyn Fn(Range<usize>) -> Cow<'a, [u8]> + Sync + 'a>;

/// A weight on its way.
pub(super) struct Weight<'a> {
    /// Its name, for errors.
    pub(super) name: &'a str,
    /// How it is quantized.
    pub(super) chosen: &'a WeightScheme,
    /// Where its codes go.
    pub(super) stored: &'a EncodedWeight,
    /// Its elements.
    pub(super) read: Read<'a>,
}

/// A tensor that is carried over unchanged.
pub(super) struct Unchanged<'a> {
    /// Its name in the sink.
    pub(super) name: &'a str,
    /// Its size.
    pub(super) bytes: usize,
    /// Its bytes.
    pub(super) read: Read<'a>,
}

/// What all parts share.
pub(super) struct Stream<'a, 'b> {
    /// Where tensors go.
    pub(super) sink: &'a dyn Sink,
    /// What parts are worked on in.
    pub(super) buffers: &'a Buffers<'b>,
    /// Told of every source byte.
    pub(super) meter: &'a PhaseMeter<'a>,
    stop: AtomicBool,
}

/// The buffers of a job, one for each part in flight, whichever file it belongs to.
pub(super) struct Buffers<'a> {
    budget: &'a MemoryBudget,
    spare: Mutex<Vec<Buffer<'a>>>,
    made: AtomicBool,
}

impl<'a> Buffers<'a> {
    /// Buffers that together stay within a budget.
    pub(super) fn new(budget: &'a MemoryBudget) -> Self {
        Buffers { budget, spare: Mutex::new(Vec::new()), made: AtomicBool::new(false) }
    }

    /// A buffer that no one uses. Where the budget has no room for another one, waits until one is given back: whoever
    /// holds one waits for nobody.
    fn take(&self) -> Result<Buffer<'a>, OverBudget> {
        loop {
            if let Some(buffer) = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop() {
                return Ok(buffer);
            }
            match self.budget.reserve(BUFFER_BYTES) {
                Ok(_reserved) => {
                    self.made.store(true, Ordering::Relaxed);
                    return Ok(Buffer { codes: vec![], packed: vec![], ranges: vec![], params: vec![], _reserved });
                }
                Err(error) if !self.made.load(Ordering::Relaxed) => return Err(error),
                Err(_) => std::thread::yield_now(),
            }
        }
    }

    fn give_back(&self, buffer: Buffer<'a>) {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
    }
}

/// The memory of one part, used again for the next.
struct Buffer<'a> {
    codes: Vec<u8>,
    packed: Vec<u8>,
    ranges: Vec<MinMax>,
    params: Vec<QParams>,
    _reserved: Reservation<'a>,
}

enum Task<'t, 'd> {
    Copy(&'t Unchanged<'d>, Range<usize>),
    Quantize(usize, Rect),
}

/// What a part leaves behind.
#[derive(Default)]
struct Part {
    error: ErrorStats,
    zero_points: Vec<i8>,
}

impl<'a, 'b> Stream<'a, 'b> {
    /// A stream into one file.
    pub(super) fn new(sink: &'a dyn Sink, buffers: &'a Buffers<'b>, meter: &'a PhaseMeter<'a>) -> Self {
        Stream { sink, buffers, meter, stop: AtomicBool::new(false) }
    }

    /// Writes all tensors. What each weight cost, in their order; the same whatever the number of threads.
    pub(super) fn run(
        &self,
        weights: &[Weight<'_>],
        unchanged: &[Unchanged<'_>],
    ) -> Result<Vec<ErrorStats>, BackendError> {
        for (tensor, bytes) in weights.iter().flat_map(|weight| &weight.stored.constants) {
            self.sink.write(&tensor.name, 0, bytes)?;
        }
        let (mut tasks, mut large) = (Vec::new(), Vec::new());
        for tensor in unchanged {
            let starts = (0..tensor.bytes).step_by(COPY_BYTES);
            tasks.extend(starts.map(|start| Task::Copy(tensor, start..tensor.bytes.min(start + COPY_BYTES))));
        }
        for (number, weight) in weights.iter().enumerate() {
            match weight.chosen.grid.whole_cells(PART_ELEMENTS) {
                Some(parts) => tasks.extend(parts.into_iter().map(|rect| Task::Quantize(number, rect))),
                None => large.push(number),
            }
        }
        let parts = self.each(&tasks, |task| match task {
            Task::Copy(tensor, range) => self.copy(tensor, range).map(|()| Part::default()),
            Task::Quantize(number, rect) => self.quantize(&weights[*number], rect, None),
        })?;
        let mut errors = vec![ErrorStats::default(); weights.len()];
        let mut zero_points: Vec<Vec<(&Rect, Vec<i8>)>> = weights.iter().map(|_| Vec::new()).collect();
        for (task, part) in tasks.iter().zip(parts) {
            if let Task::Quantize(number, rect) = task {
                errors[*number].merge(&part.error);
                zero_points[*number].push((rect, part.zero_points));
            }
        }
        for (weight, parts) in weights.iter().zip(zero_points) {
            if let Some(place) = weight.stored.zero_points.as_ref().filter(|_| !parts.is_empty()) {
                self.write_zero_points(weight, place, parts)?;
            }
        }
        for number in large {
            errors[number] = self.two_passes(&weights[number])?;
        }
        Ok(errors)
    }

    /// Runs tasks on all threads. Of several errors the first in order is the one returned, save that an error of the
    /// surroundings stops the tasks not yet begun.
    fn each<T: Sync, R: Send>(
        &self,
        tasks: &[T],
        run: impl Fn(&T) -> Result<R, BackendError> + Sync,
    ) -> Result<Vec<R>, BackendError> {
        let results: Vec<Option<Result<R, BackendError>>> = tasks
            .par_iter()
            .map(|task| {
                if self.stop.load(Ordering::Relaxed) {
                    return None;
                }
                let result = run(task);
                if matches!(&result, Err(error) if !matches!(error, BackendError::Weight { .. })) {
                    self.stop.store(true, Ordering::Relaxed);
                }
                Some(result)
            })
            .collect();
        let mut done = Vec::with_capacity(results.len());
        for result in results.into_iter().flatten() {
            done.push(result?);
        }
        Ok(done)
    }

    fn copy(&self, tensor: &Unchanged<'_>, range: &Range<usize>) -> Result<(), BackendError> {
        self.sink.write(tensor.name, range.start as u64, &(tensor.read)(range.clone()))?;
        Ok(self.meter.advance(range.len() as u64)?)
    }

    /// With `params`, those of all cells; without, the part has whole cells and finds its own.
    fn quantize(&self, weight: &Weight<'_>, rect: &Rect, params: Option<&[QParams]>) -> Result<Part, BackendError> {
        let mut buffer = self.buffers.take()?;
        let part = self.quantize_with(&mut buffer, weight, rect, params);
        self.buffers.give_back(buffer);
        part
    }

    fn quantize_with(
        &self,
        buffer: &mut Buffer<'_>,
        weight: &Weight<'_>,
        rect: &Rect,
        params: Option<&[QParams]>,
    ) -> Result<Part, BackendError> {
        let WeightScheme { scheme, grid, format } = weight.chosen;
        let failed = |source| BackendError::Weight { tensor: weight.name.to_owned(), source };
        let cells = grid.cells_of(rect);
        let Buffer { codes, packed, ranges, params: own, .. } = buffer;
        let rows = weight.rows(rect);
        let row = |row: usize| rows.row(row);
        let block = Block { format: *format, grid, rect, isa: Isa::best(), row: &row };
        own.clear();
        match params {
            Some(all) => grid.runs(&cells).for_each(|run| own.extend_from_slice(&all[run])),
            None => {
                ranges.clear();
                ranges.resize(cells.elements(), MinMax::EMPTY);
                block.observe(scheme, ranges).map_err(failed)?;
                own.extend(ranges.iter().map(|&range| qparams(range, scheme, *format)));
                self.write_scales(weight, &cells, own, packed)?;
            }
        }
        codes.resize(rect.elements(), 0);
        let error = block.encode(scheme, own, codes).map_err(failed)?;
        self.write_codes(weight, rect, codes, packed)?;
        self.meter.advance((rect.elements() * format.size()) as u64)?;
        let wanted = params.is_none() && weight.stored.zero_points.is_some();
        let zero_points = if wanted { own.iter().map(|p| p.zero_point).collect() } else { Vec::new() };
        Ok(Part { error, zero_points })
    }

    fn write_codes(
        &self,
        weight: &Weight<'_>,
        rect: &Rect,
        codes: &[u8],
        packed: &mut Vec<u8>,
    ) -> Result<(), BackendError> {
        let (grid, packing) = (&weight.chosen.grid, weight.stored.packing);
        let name = &weight.stored.codes.name;
        let bytes = if packing == Packing::Bytes {
            codes
        } else {
            packing.pack(codes, rect.columns.len(), packed);
            packed
        };
        // A part that does not span the rows begins between words of packed codes.
        let first = packing.row_bytes(rect.columns.start);
        let width = packing.row_bytes(rect.columns.len());
        self.write_rows(name, packing.row_bytes(grid.columns), &rect.rows, first..first + width, bytes)
    }

    /// Writes `bytes`, which are the bytes `columns` of the `rows` of a tensor whose rows have `row_bytes`.
    fn write_rows(
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

    fn write_scales(
        &self,
        weight: &Weight<'_>,
        cells: &Rect,
        params: &[QParams],
        bytes: &mut Vec<u8>,
    ) -> Result<(), BackendError> {
        let (_, across) = weight.chosen.grid.cells();
        let format = weight.stored.scale_format;
        bytes.clear();
        for params in params {
            match format {
                FloatFormat::F32 => bytes.extend(params.scale.to_le_bytes()),
                FloatFormat::F16 => bytes.extend(half::f16::from_f32(params.scale).to_le_bytes()),
                FloatFormat::Bf16 => bytes.extend(half::bf16::from_f32(params.scale).to_le_bytes()),
            }
        }
        let columns = cells.columns.start * format.size()..cells.columns.end * format.size();
        self.write_rows(&weight.stored.scales.name, across * format.size(), &cells.rows, columns, bytes)
    }

    /// Zero points of the parts of a weight, put together.
    fn write_zero_points(
        &self,
        weight: &Weight<'_>,
        place: &ZeroPoints,
        parts: Vec<(&Rect, Vec<i8>)>,
    ) -> Result<(), BackendError> {
        let (down, across) = weight.chosen.grid.cells();
        let _reserved = self.buffers.budget.reserve(2 * (down * across) as u64)?;
        let mut all = vec![0u8; down * across];
        for (rect, part) in parts {
            let cells = weight.chosen.grid.cells_of(rect);
            for (run, part) in weight.chosen.grid.runs(&cells).zip(part.chunks(cells.columns.len().max(1))) {
                all[run].iter_mut().zip(part).for_each(|(byte, &zero)| *byte = zero as u8);
            }
        }
        let bytes = match place.form {
            ZeroPointForm::Bytes => all,
            ZeroPointForm::Nibbles => {
                let mut packed = Vec::new();
                Packing::Nibbles.pack(&all, all.len(), &mut packed);
                packed
            }
            ZeroPointForm::WordsDown { bits } => {
                // Packed as rows of the transposed matrix, and transposed back.
                let (mut columns, mut words, mut bytes) = (Vec::new(), Vec::new(), Vec::new());
                Channels { outer: down, channels: across, inner: 1 }.to_front(&all, &mut columns);
                Packing::Words { bits }.pack(&columns, down, &mut words);
                let words = words.as_chunks::<4>().0;
                Channels { outer: across, channels: words.len() / across.max(1), inner: 1 }.to_front(words, &mut bytes);
                bytes.into_flattened()
            }
        };
        self.sink.write(&place.tensor.name, 0, &bytes)
    }

    /// A weight whose cells are larger than a part: one pass for the extents, one for the codes.
    fn two_passes(&self, weight: &Weight<'_>) -> Result<ErrorStats, BackendError> {
        let WeightScheme { scheme, grid, format } = weight.chosen;
        let (down, across) = grid.cells();
        let pieces = grid.pieces(PART_ELEMENTS);
        let cell_bytes = (size_of::<MinMax>() + size_of::<QParams>()) * down * across;
        let _reserved = self.buffers.budget.reserve(cell_bytes as u64)?;
        let ranges = Mutex::new(vec![MinMax::EMPTY; down * across]);
        self.each(&pieces, |rect| {
            let cells = grid.cells_of(rect);
            let _reserved = self.buffers.budget.reserve((size_of::<MinMax>() * cells.elements()) as u64)?;
            let mut own = vec![MinMax::EMPTY; cells.elements()];
            let rows = weight.rows(rect);
            let row = |row: usize| rows.row(row);
            Block { format: *format, grid, rect, isa: Isa::best(), row: &row }
                .observe(scheme, &mut own)
                .map_err(|source| BackendError::Weight { tensor: weight.name.to_owned(), source })?;
            // Minimum and maximum do not depend on the order in which parts come.
            let mut all = ranges.lock().unwrap_or_else(PoisonError::into_inner);
            for (run, part) in grid.runs(&cells).zip(own.chunks(cells.columns.len().max(1))) {
                all[run].iter_mut().zip(part).for_each(|(cell, &range)| cell.merge(range));
            }
            Ok(())
        })?;
        let ranges = ranges.into_inner().unwrap_or_else(PoisonError::into_inner);
        let params: Vec<QParams> = ranges.iter().map(|&range| qparams(range, scheme, *format)).collect();
        drop(ranges);
        let all = Rect { rows: 0..down, columns: 0..across };
        self.write_scales(weight, &all, &params, &mut Vec::new())?;
        if let Some(place) = &weight.stored.zero_points {
            let zero_points = params.iter().map(|p| p.zero_point).collect();
            self.write_zero_points(weight, place, vec![(&grid.whole(), zero_points)])?;
        }
        let mut error = ErrorStats::default();
        for part in self.each(&pieces, |rect| self.quantize(weight, rect, Some(&params)))? {
            error.merge(&part.error);
        }
        Ok(error)
    }
}

/// The rows of a part: read at once where the part is contiguous.
struct Rows<'w, 'd> {
    weight: &'w Weight<'d>,
    rect: &'w Rect,
    whole: Option<Cow<'d, [u8]>>,
}

impl<'d> Weight<'d> {
    fn rows<'w>(&'w self, rect: &'w Rect) -> Rows<'w, 'd> {
        let spans = rect.columns.len() == self.chosen.grid.columns;
        let whole = spans.then(|| (self.read)(self.place(rect.rows.start, 0)..self.place(rect.rows.end, 0)));
        Rows { weight: self, rect, whole }
    }

    fn place(&self, row: usize, column: usize) -> usize {
        (row * self.chosen.grid.columns + column) * self.chosen.format.size()
    }
}

impl Rows<'_, '_> {
    /// Empty where the source is shorter than it must be, which the block refuses.
    fn row(&self, row: usize) -> Cow<'_, [u8]> {
        let range = self.weight.place(row, self.rect.columns.start)..self.weight.place(row, self.rect.columns.end);
        match &self.whole {
            Some(whole) => {
                let first = self.weight.place(self.rect.rows.start, 0);
                Cow::Borrowed(whole.get(range.start - first..range.end - first).unwrap_or_default())
            }
            None => (self.weight.read)(range),
        }
    }
}
