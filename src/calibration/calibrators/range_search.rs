//! Both ends of a range at once: a grid over all pairs, then ever smaller steps from the best of it.

use super::codes::steps;
use crate::numeric::DType;

/// How many of the first bins on either side of 0 a range covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// Bins of values below 0.
    pub negative: usize,
    /// Bins of 0 and values above.
    pub positive: usize,
}

/// Candidates of one side that the grid has, where both sides have as many; one that is alone has their product, hence all.
const GRID: usize = 64;

/// The ends of the least cost, the widest of equals, among candidates of either side that rise from 0. Ends that cover
/// fewer bins than `dtype` has codes are not tried: what they cost is finer than the bins tell.
pub(super) fn search(negative: &[usize], positive: &[usize], dtype: DType, cost: impl Fn(Ends) -> f64) -> Ends {
    let ends = |(below, above): (usize, usize)| {
        Some(Ends { negative: *negative.get(below)?, positive: *positive.get(above)? })
    };
    let priced = |at: (usize, usize)| {
        let ends = ends(at).filter(|ends| ends.negative + ends.positive > steps(dtype))?;
        Some((at, cost(ends)))
    };
    let last = (negative.len().saturating_sub(1), positive.len().saturating_sub(1));
    let first_step = |own: usize, other: usize| own.div_ceil(GRID * GRID / (other + 1).min(GRID)).max(1);
    let mut step = (first_step(last.0, last.1), first_step(last.1, last.0));
    let mut best = priced(last).unwrap_or((last, f64::NEG_INFINITY));
    let side = |last: usize, step: usize| (0..=last.div_ceil(step)).map(move |i| last.saturating_sub(i * step));
    for at in side(last.0, step.0).flat_map(|below| side(last.1, step.1).map(move |above| (below, above))) {
        best = priced(at).filter(|next| next.1 < best.1).unwrap_or(best);
    }
    loop {
        let around = |at: usize, step: usize| [at.saturating_add(step), at, at.saturating_sub(step)];
        let at = best.0;
        let near = around(at.0, step.0).into_iter().flat_map(|below| around(at.1, step.1).map(|above| (below, above)));
        for next in near {
            best = priced(next).filter(|next| next.1 < best.1).unwrap_or(best);
        }
        if best.0 == at {
            if step == (1, 1) {
                return ends(best.0).unwrap_or(Ends { negative: 0, positive: 0 });
            }
            step = (step.0.div_ceil(2), step.1.div_ceil(2));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_valley_is_found_wherever_it_lies_and_equals_stay_wide() {
        let all: Vec<usize> = (0..=3000).collect();
        for (negative, positive) in [(0, 301), (17, 2999), (1234, 777), (3000, 3000)] {
            let wanted = Ends { negative, positive };
            let far = |ends: Ends| ends.negative.abs_diff(negative) + ends.positive.abs_diff(positive);
            assert_eq!(search(&all, &all, DType::Int8, |ends| far(ends) as f64), wanted);
        }
        assert_eq!(search(&all, &[0], DType::Int8, |_| 1.0), Ends { negative: 3000, positive: 0 });
        assert_eq!(search(&all, &all, DType::Int8, |_| f64::NAN), Ends { negative: 3000, positive: 3000 });
    }

    #[test]
    fn every_candidate_of_a_side_that_is_alone_is_tried() {
        let all: Vec<usize> = (0..=4096).collect();
        for wanted in [256, 1001, 4095] {
            let holes = |bins: usize| if bins == wanted { 0.0 } else { 1.0 };
            assert_eq!(search(&[0], &all, DType::Int8, |ends| holes(ends.positive)).positive, wanted);
            assert_eq!(search(&all, &[0], DType::Int8, |ends| holes(ends.negative)).negative, wanted);
        }
    }

    #[test]
    fn fewer_bins_than_codes_are_not_tried_and_only_candidates_are() {
        let all: Vec<usize> = (0..=200).collect();
        let least = search(&all, &all, DType::Int8, |ends| (ends.negative + ends.positive) as f64);
        assert_eq!(least.negative + least.positive, 256);
        assert_eq!(search(&[0, 100], &[0, 100], DType::Int8, |_| 0.0), Ends { negative: 100, positive: 100 });
        let odd: Vec<usize> = [0].into_iter().chain((0..500).map(|i| 2 * i + 1)).collect();
        let near = search(&odd, &odd, DType::Int8, |ends| ends.negative.abs_diff(300) as f64);
        assert_eq!((near.negative % 2, near.positive), (1, 999));
    }
}
