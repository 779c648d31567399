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
            Task::Encode { weight, rect, .. } => {
                self.encode(weight, rect, Known { parameters: None, given: weight.given })
            }
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
        let WeightScheme { scheme, grid, format, encoder, .. } = weight.scheme;
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
        let known = Known { parameters: Some(&parameters), given: weight.given };
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        backend::weights::{EncodedWeight, Runs, ZeroPoints},
        control::{Canceller, Control, MemoryBudget, Phase},
        model::safetensors::OutTensor,
        numeric::{DType, Element, ElementVisitor, FloatFormat, Packing, ScaleFormat},
        quant::{Granularity, ScaleRule, Scheme, reference},
        tensor::Shape,
    };

    /// The bytes of a tensor, and of each how often it was written.
    type Written = (Vec<u8>, Vec<u8>);

    /// A sink that holds tensors in memory, by name.
    #[derive(Default)]
    struct Memory(Mutex<BTreeMap<String, Written>>);

    impl Memory {
        fn lay_out(&self, tensor: &OutTensor) {
            let bytes = tensor.bytes() as usize;
            self.0.lock().unwrap().insert(tensor.name.clone(), (vec![0; bytes], vec![0; bytes]));
        }

        /// The bytes of a tensor, each of which was written once.
        fn written_once(&self, name: &str) -> Vec<u8> {
            let tensors = self.0.lock().unwrap();
            let (bytes, times) = &tensors[name];
            assert!(times.iter().all(|&times| times == 1), "bytes of {name} were written never or more than once");
            bytes.clone()
        }
    }

    impl Sink for Memory {
        fn write(&self, tensor: &str, offset: u64, bytes: &[u8]) -> Result<(), BackendError> {
            let mut tensors = self.0.lock().unwrap();
            let (all, times) = tensors.get_mut(tensor).unwrap();
            let range = offset as usize..offset as usize + bytes.len();
            all[range.clone()].copy_from_slice(bytes);
            times[range].iter_mut().for_each(|times| *times += 1);
            Ok(())
        }
    }

    fn out(name: &str, bits: usize, elements: usize) -> OutTensor {
        OutTensor { name: name.to_owned(), dtype: String::new(), bits, shape: Shape::new(vec![elements]).unwrap() }
    }

    fn stream<R>(sink: &Memory, budget: u64, run: impl FnOnce(&Stream<'_, '_>) -> R) -> R {
        let (never, budget) = (Canceller::default(), MemoryBudget::new(budget));
        let control = Control::new(&|_| {}, &never);
        let (buffers, meter) = (Buffers::new(&budget), control.phase(Phase::Quantizing, 0, "bytes"));
        run(&Stream::new(sink, &buffers, &meter))
    }

    struct Reference<'a>(&'a [f32], &'a WeightScheme);
    impl ElementVisitor for Reference<'_> {
        type Output = (Vec<u8>, Vec<QParams>, ErrorStats);
        fn visit<E: Element>(self) -> Self::Output {
            reference::quantize_matrix::<f32, E>(self.0, &self.1.grid, &self.1.scheme).unwrap()
        }
    }

    fn arrives(dims: [usize; 2], scheme: Scheme, packing: Packing, zero_points: Option<(Packing, Runs)>) {
        let [rows, columns] = dims;
        let values: Vec<f32> = (0..rows * columns).map(|i| ((i * 7919 % 2003) as f32 - 900.0) * 0.01).collect();
        let source: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        let grid = Grid::new(&Shape::new(dims.to_vec()).unwrap(), scheme.granularity).unwrap();
        let weight = WeightScheme::new(scheme, grid, FloatFormat::F32);
        let (codes, params, slow) = scheme.dtype.visit(Reference(&values, &weight));

        let (down, across) = grid.cells();
        let sink = Memory::default();
        let place = |(packing, runs): (Packing, Runs)| {
            let bytes = match runs {
                Runs::All => packing.row_bytes(down * across),
                Runs::Rows => down * packing.row_bytes(across),
                Runs::Columns => across * packing.row_bytes(down),
            };
            ZeroPoints { tensor: out("zeros", 8, bytes), packing, runs }
        };
        let encoded = EncodedWeight {
            codes: out("codes", 8, rows * packing.row_bytes(columns)),
            packing,
            scales: out("scales", 32, down * across),
            scale_format: ScaleFormat::F32,
            zero_points: zero_points.map(place),
            constants: vec![(out("constant", 8, 3), vec![1, 2, 3])],
        };
        encoded.tensors().for_each(|tensor| sink.lay_out(tensor));
        sink.lay_out(&out("other", 8, 1000));
        let other = vec![9; 1000];
        let weights = [Weight {
            name: "w",
            scheme: &weight,
            encoded: &encoded,
            given: None,
            read: Box::new(|range| source.get(range).unwrap_or_default().into()),
        }];
        let unchanged =
            [Unchanged { name: "other", bytes: 1000, read: Box::new(|range| other.get(range).unwrap().into()) }];
        let errors = stream(&sink, 64 << 20, |stream| stream.run(&weights, &unchanged)).unwrap();

        let mut packed = Vec::new();
        packing.pack(&codes, columns, &mut packed);
        assert!(sink.written_once("codes") == packed, "codes under {scheme:?}");
        let scales: Vec<u8> = params.iter().flat_map(|params| params.scale.to_le_bytes()).collect();
        assert!(sink.written_once("scales") == scales, "scales under {scheme:?}");
        if let Some((packing, runs)) = zero_points {
            let cell = |row: usize, column: usize| params[row * across + column].zero_point as u8;
            let mut packed = Vec::new();
            if runs == Runs::Columns {
                // Word by word: the words of a column of cells, one below the other.
                let words = |column| {
                    let mut words = Vec::new();
                    packing.pack(&(0..down).map(|row| cell(row, column)).collect::<Vec<_>>(), down, &mut words);
                    words
                };
                let columns: Vec<Vec<u8>> = (0..across).map(words).collect();
                for word in 0..packing.row_bytes(down) / 4 {
                    columns.iter().for_each(|words| packed.extend_from_slice(&words[word * 4..word * 4 + 4]));
                }
            } else {
                let all: Vec<u8> = params.iter().map(|params| params.zero_point as u8).collect();
                packing.pack(&all, if runs == Runs::Rows { across } else { all.len() }, &mut packed);
            }
            assert!(sink.written_once("zeros") == packed, "zero points under {scheme:?}");
        }
        assert_eq!((sink.written_once("constant"), sink.written_once("other")), (vec![1, 2, 3], other.clone()));
        let [error] = &errors[..] else { panic!("{} errors of one weight", errors.len()) };
        assert_eq!((error.count, error.clipped, error.underflowed), (slow.count, slow.clipped, slow.underflowed));
    }

    fn asymmetric(dtype: DType, granularity: Granularity) -> Scheme {
        Scheme { rule: ScaleRule::RangeOverSteps, ..Scheme::torchao(dtype, granularity) }
    }

    const ROW: Granularity = Granularity::PerChannel { axis: 0 };
    const COLUMN: Granularity = Granularity::PerChannel { axis: 1 };
    const GROUP: Granularity = Granularity::PerGroup { axis: 1, size: 32 };

    #[test]
    fn codes_and_scales_arrive_in_every_packing() {
        for (dtype, packing) in [
            (DType::Int8, Packing::Bytes),
            (DType::Int8, Packing::Words { bits: 8 }),
            (DType::Int4, Packing::Words { bits: 4 }),
            (DType::Int4, Packing::Nibbles),
            (DType::Fp8E4m3fn, Packing::Bytes),
        ] {
            for granularity in [ROW, GROUP, Granularity::PerTensor] {
                arrives([37, 96], Scheme::torchao(dtype, granularity), packing, None);
            }
        }
    }

    #[test]
    fn zero_points_arrive_along_and_down() {
        let bytes = Some((Packing::Bytes, Runs::All));
        arrives([37, 96], asymmetric(DType::Int8, ROW), Packing::Bytes, bytes);
        arrives([37, 96], asymmetric(DType::Int8, GROUP), Packing::Words { bits: 8 }, bytes);
        arrives([38, 96], asymmetric(DType::Int4, GROUP), Packing::Nibbles, Some((Packing::Nibbles, Runs::All)));
        let words = Packing::Words { bits: 4 };
        arrives([37, 96], asymmetric(DType::Int4, GROUP), words, Some((words, Runs::Columns)));
        let blocks = |bits, size| Packing::Blocks { bits, size };
        arrives([37, 80], asymmetric(DType::Int4, GROUP), blocks(4, 32), Some((blocks(4, 2), Runs::Rows)));
        arrives([37, 80], asymmetric(DType::Int8, GROUP), blocks(8, 32), Some((blocks(8, 1), Runs::Rows)));
    }

    #[test]
    fn what_is_cut_anywhere_arrives_as_if_it_were_not() {
        let rows = PART_ELEMENTS / 512 * 2 + 3;
        let bytes = Some((Packing::Bytes, Runs::All));
        for granularity in [ROW, COLUMN, Granularity::PerTensor, Granularity::PerGroup { axis: 0, size: 128 }] {
            arrives([rows, 512], asymmetric(DType::Int8, granularity), Packing::Bytes, bytes);
        }
        // Rows longer than a part.
        let columns = PART_ELEMENTS + 64;
        for granularity in [ROW, GROUP, COLUMN, Granularity::PerTensor] {
            arrives([2, columns], Scheme::torchao(DType::Int4, granularity), Packing::Words { bits: 4 }, None);
        }
        arrives([2, columns + 5], Scheme::torchao(DType::Int4, GROUP), Packing::Blocks { bits: 4, size: 32 }, None);
    }

    #[test]
    fn no_room_for_a_buffer_is_an_error() {
        let scheme = WeightScheme::new(
            Scheme::torchao(DType::Int8, ROW),
            Grid { rows: 1, columns: 4, cell_rows: 1, cell_columns: 4 },
            FloatFormat::F32,
        );
        let encoded = EncodedWeight {
            codes: out("codes", 8, 4),
            packing: Packing::Bytes,
            scales: out("scales", 32, 1),
            scale_format: ScaleFormat::F32,
            zero_points: None,
            constants: Vec::new(),
        };
        let weights = [Weight {
            name: "w",
            scheme: &scheme,
            encoded: &encoded,
            given: None,
            read: Box::new(|range| vec![0; range.len()].into()),
        }];
        let result = stream(&Memory::default(), 1 << 20, |stream| stream.run(&weights, &[]));
        assert!(matches!(result, Err(BackendError::Memory(_))));
    }
}
