//! [`Encoder`]: what every encoder is asked.

use std::fmt::Debug;

use crate::{
    numeric::FloatFormat,
    quant::{Block, ErrorStats, Grid, MinMax, QParams, QuantError, Rect, Scheme, qparams},
};

/// A way to choose the codes of a weight.
///
/// A weight is encoded part by part, each on a thread of its own, and every part is read once. What an encoder must know
/// of the whole weight before that it declares in [`Cut`]; only then is there a pass ahead.
pub(in crate::backend) trait Encoder: Debug + Sync {
    /// What users call it, a value of the option [`ENCODER`](super::ENCODER).
    fn name(&self) -> &'static str;

    /// Into which parts a weight is cut, and what must be known ahead of them.
    fn cut(&self, grid: &Grid) -> Cut;

    /// Parameters from the ranges that the pass ahead found, one for each cell of [`Cut::ahead`].
    fn parameters(&self, ranges: &[MinMax], scheme: &Scheme, format: FloatFormat) -> Vec<QParams> {
        ranges.iter().map(|&range| qparams(range, scheme, format)).collect()
    }

    /// Encodes one part into buffers that an earlier part has left: a code for each element in row-major order, and the
    /// parameters of each cell that the part touches.
    fn encode(
        &self,
        scheme: &Scheme,
        part: &Block<'_, '_>,
        known: Known<'_>,
        encoded: &mut EncodedPart,
    ) -> Result<ErrorStats, QuantError>;
}

/// How the encoding of a weight is divided.
#[derive(Debug, PartialEq)]
pub(in crate::backend) struct Cut {
    /// The parts, which cover every element once. Each has [`PART_ELEMENTS`](crate::quant::PART_ELEMENTS) at the most, or
    /// their buffers would be larger than is reserved for them.
    pub(in crate::backend) parts: Vec<Rect>,
    /// Cells whose ranges must be known before the first part is encoded, which takes a pass of its own over the weight: the
    /// weight's own cells where parts share them; a single cell where the scales of cells have a scale themselves. `None`
    /// where every part finds what it needs.
    pub(in crate::backend) ahead: Option<Grid>,
}

/// What is known of the whole weight when a part is encoded.
///
/// What comes from the inputs of the weight's layer, such as a Gram matrix, is a field here that
/// [`Weight`](crate::backend::weights::Weight) brings along; encoders that do not ask for it do not change.
#[derive(Clone, Copy, Debug)]
pub(in crate::backend) struct Known<'a> {
    /// What [`Encoder::parameters`] made of the pass ahead, if [`Cut::ahead`] asked for one.
    pub(in crate::backend) parameters: Option<&'a [QParams]>,
    /// The scales that some cells of the weight must have, 0 for the others: what is added to their products must have a code.
    pub(in crate::backend) given: Option<&'a [f32]>,
}

impl Known<'_> {
    /// Gives cells the scales that they must have.
    pub(in crate::backend) fn give(&self, grid: &Grid, cells: &Rect, params: &mut [QParams]) {
        let Some(given) = self.given else { return };
        let scales = grid.runs(cells).flat_map(|run| given.get(run).unwrap_or_default());
        let wanted = params.iter_mut().zip(scales).filter(|(_, scale)| **scale > 0.0);
        wanted.for_each(|(params, &scale)| params.scale = scale);
    }
}

/// The buffers of a part.
#[derive(Debug, Default)]
pub(in crate::backend) struct EncodedPart {
    /// The code of each element.
    pub(in crate::backend) codes: Vec<u8>,
    /// Scale and zero point of each cell that the part touches.
    pub(in crate::backend) params: Vec<QParams>,
    /// The ranges of these cells, for encoders that go by them.
    pub(in crate::backend) ranges: Vec<MinMax>,
}
