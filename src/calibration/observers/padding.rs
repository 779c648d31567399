//! [`Mask`]: which positions of sequences are real, and where the values of these lie in a tensor.

use std::ops::Range;

/// Which positions of the sequences in a batch are real, and not padding.
#[derive(Clone, Copy, Debug)]
pub struct Mask<'a> {
    /// Whether each position is real, sequence by sequence.
    pub real: &'a [bool],
    /// Its shape.
    pub dims: &'a [usize],
}

impl Mask<'_> {
    /// The parts of a tensor of shape `dims` that belong to real positions, in order, as positions of its values.
    ///
    /// It is a tensor of positions if its shape begins as the mask's, `[batch, sequence]`, and has no other dimension as
    /// long as a sequence, which may be the one that counts positions; or if it is a matrix with a row for each position of
    /// the batch. Of any other tensor everything is real.
    pub fn parts(&self, dims: &[usize]) -> Vec<Range<usize>> {
        let whole = 0..dims.iter().product();
        let Some(width) = self.width(dims) else { return vec![whole] };
        let mut at = 0;
        let runs = self.real.chunk_by(|a, b| a == b).filter_map(|run| {
            let start = at;
            at += run.len();
            run.first().is_some_and(|real| *real).then_some(start * width..at * width)
        });
        runs.collect()
    }

    /// The values of one position, where a tensor of this shape has positions.
    fn width(&self, dims: &[usize]) -> Option<usize> {
        let &[batch, sequence] = self.dims else { return None };
        let positions = batch.checked_mul(sequence).filter(|&positions| positions == self.real.len())?;
        match dims {
            [rows, width] => (*rows == positions).then_some(*width),
            [first, second, rest @ ..] if !rest.is_empty() => {
                let told = (*first, *second) == (batch, sequence) && !rest.contains(&sequence);
                told.then(|| rest.iter().product())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(dims: &[usize]) -> Vec<Range<usize>> {
        let all = 0..dims.iter().product();
        vec![all]
    }

    #[test]
    fn values_of_padding_are_left_out_where_the_shape_tells_positions() {
        let real = [true, true, false, true, false, false];
        let mask = Mask { real: &real, dims: &[2, 3] };
        assert_eq!(mask.parts(&[2, 3, 4]), [0..8, 12..16]);
        assert_eq!(mask.parts(&[2, 3, 2, 2]), [0..8, 12..16]);
        assert_eq!(mask.parts(&[6, 4]), [0..8, 12..16]);
        assert!(Mask { real: &[false; 6], dims: &[2, 3] }.parts(&[6, 4]).is_empty());
        assert_eq!(Mask { real: &[true; 6], dims: &[2, 3] }.parts(&[2, 3, 4]), whole(&[2, 3, 4]));
    }

    #[test]
    fn a_shape_that_could_mean_something_else_is_seen_whole() {
        let real = [true, false, false, true, false, false];
        let mask = Mask { real: &real, dims: &[2, 3] };
        // Something pooled, attention with as many heads as positions, keys on their side, another batch.
        for dims in [&[2, 3][..], &[2, 3, 3, 3], &[2, 4, 3], &[2, 3, 3], &[1, 3, 4], &[6], &[]] {
            assert_eq!(mask.parts(dims), whole(dims), "{dims:?}");
        }
        // A mask that is none.
        for dims in [&[6][..], &[3, 3], &[2, 3, 1], &[usize::MAX, 3]] {
            assert_eq!(Mask { real: &real, dims }.parts(&[2, 3, 4]), whole(&[2, 3, 4]), "{dims:?}");
        }
    }
}
