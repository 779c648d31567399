//! Every element gets the code nearest to it, under a scale that the range of its cell gives.

use super::encoder::{Cut, EncodedPart, Encoder, Known};
use crate::quant::{Block, ErrorStats, Grid, MinMax, PART_ELEMENTS, QuantError, Scheme, qparams};

/// Rounding to the nearest code. One pass, unless a cell is larger than a part.
#[derive(Debug)]
pub(super) struct RoundToNearest;

impl Encoder for RoundToNearest {
    fn cut(&self, grid: &Grid) -> Cut {
        match grid.whole_cells(PART_ELEMENTS) {
            Some(parts) => Cut { parts, ahead: None },
            None => Cut { parts: grid.pieces(PART_ELEMENTS), ahead: Some(*grid) },
        }
    }

    fn encode(
        &self,
        scheme: &Scheme,
        part: &Block<'_, '_>,
        known: Known<'_>,
        encoded: &mut EncodedPart,
    ) -> Result<ErrorStats, QuantError> {
        let EncodedPart { codes, params, ranges } = encoded;
        let cells = part.grid.cells_of(part.rect);
        params.clear();
        match known.parameters {
            Some(all) => {
                let runs = part.grid.runs(&cells).map(|run| all.get(run).unwrap_or_default());
                runs.for_each(|run| params.extend_from_slice(run));
            }
            None => {
                ranges.clear();
                ranges.resize(cells.elements(), MinMax::EMPTY);
                part.observe(scheme, ranges)?;
                params.extend(ranges.iter().map(|&range| qparams(range, scheme, part.format)));
            }
        }
        codes.resize(part.rect.elements(), 0);
        part.encode(scheme, params, codes)
    }
}
