//! A whole tensor through the kernels, in one piece.

use std::borrow::Cow;

use ptqd::{
    numeric::{Element, ElementVisitor, FloatFormat},
    quant::{Block, Grid, MinMax, QParams, Scheme, kernels::Isa, qparams},
    tensor::Shape,
};

/// The codes of a tensor in its own order, and its scales cell by cell.
pub fn quantize(format: FloatFormat, shape: &Shape, bytes: &[u8], scheme: &Scheme) -> (Vec<u8>, Vec<f32>) {
    let grid = Grid::new(shape, scheme.granularity).expect("a granularity for this shape");
    let rect = grid.whole();
    let width = grid.columns * format.size();
    let row = |row: usize| Cow::Borrowed(&bytes[row * width..(row + 1) * width]);
    let block = Block { format, grid: &grid, rect: &rect, isa: Isa::best(), row: &row };
    let (down, across) = grid.cells();
    let mut ranges = vec![MinMax::EMPTY; down * across];
    block.observe(scheme, &mut ranges).expect("finite values");
    let params: Vec<QParams> = ranges.into_iter().map(|range| qparams(range, scheme, format)).collect();
    let mut codes = vec![0; rect.elements()];
    block.encode(scheme, &params, &mut codes).expect("as many codes as elements");
    (codes, params.into_iter().map(|params| params.scale).collect())
}

/// What a code stands for, in units of its scale.
pub struct Decode(pub u8);

impl ElementVisitor for Decode {
    type Output = f32;
    fn visit<E: Element>(self) -> f32 {
        E::decode(self.0)
    }
}
