//! [`EncodedWeight`]: the tensors that take the place of a weight, whatever the format of the file.

use crate::{
    model::safetensors::OutTensor,
    numeric::{Packing, ScaleFormat},
};

/// Which zero points are packed side by side, so that what padding there is comes behind the last of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::backend) enum Runs {
    /// All of a weight, cell by cell.
    All,
    /// Those of a row of cells.
    Rows,
    /// Those of a column of cells: the words of compressed-tensors hold zero points of one column and several rows.
    Columns,
}

/// Where the zero points of a weight go.
#[derive(Clone, Debug)]
pub(in crate::backend) struct ZeroPoints {
    pub(in crate::backend) tensor: OutTensor,
    /// How they lie in it.
    pub(in crate::backend) packing: Packing,
    /// Which of them are packed together.
    pub(in crate::backend) runs: Runs,
}

/// The tensors that take the place of a weight.
#[derive(Clone, Debug)]
pub(in crate::backend) struct EncodedWeight {
    pub(in crate::backend) codes: OutTensor,
    /// How they lie in it.
    pub(in crate::backend) packing: Packing,
    /// The scales, cell by cell.
    pub(in crate::backend) scales: OutTensor,
    /// The format of the scales.
    pub(in crate::backend) scale_format: ScaleFormat,
    /// The zero points, if the scheme has any.
    pub(in crate::backend) zero_points: Option<ZeroPoints>,
    /// Tensors whose values do not depend on the weight's, with their bytes.
    pub(in crate::backend) constants: Vec<(OutTensor, Vec<u8>)>,
}

impl EncodedWeight {
    /// All of them: codes, scales, zero points, constants.
    pub(in crate::backend) fn tensors(&self) -> impl Iterator<Item = &OutTensor> {
        let zero_points = self.zero_points.iter().map(|z| &z.tensor);
        [&self.codes, &self.scales].into_iter().chain(zero_points).chain(self.constants.iter().map(|(t, _)| t))
    }

    /// The bytes that they take together.
    pub(in crate::backend) fn bytes(&self) -> u64 {
        self.tensors().map(OutTensor::bytes).sum()
    }
}
