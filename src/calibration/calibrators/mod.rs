//! The calibration algorithms: one file each, and a row of [`CALIBRATORS`].

mod algorithm;
mod codes;
pub mod entropy;
mod min_max;
pub mod mse;
pub mod percentile;
mod range_search;

pub use algorithm::{Calibrator, Target};
pub use percentile::DEFAULT_PERCENTILE;
pub use range_search::Ends;

/// Every algorithm; the first is the default.
pub static CALIBRATORS: [Calibrator; 4] =
    [min_max::CALIBRATOR, entropy::CALIBRATOR, mse::CALIBRATOR, percentile::CALIBRATOR];

/// The algorithm of this name or alias.
pub fn find(name: &str) -> Option<&'static Calibrator> {
    CALIBRATORS.iter().find(|row| row.name == name || row.aliases.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        calibration::{Activation, Keep, Observer, Statistics},
        numeric::DType,
        quant::MinMax,
    };

    #[test]
    fn every_algorithm_chooses_a_magnitude_up_to_the_largest_and_none_of_nothing() {
        let values: Vec<f32> = (0..4096).map(|i| ((i * 37) % 4096) as f32 / 1024.0 - 2.0).collect();
        let mut seen = Statistics::new(Keep::Magnitudes);
        seen.observe(Activation { values: &values, dims: &[4, 1024] });
        for row in &CALIBRATORS {
            for dtype in [DType::Int8, DType::Fp8E4m3fn, DType::Fp8E5m2] {
                let target = Target { dtype, percentile: DEFAULT_PERCENTILE };
                let chosen = (row.choose)(&seen, &target).unwrap();
                assert!(chosen > 1.0 && chosen <= 2.0, "{} {dtype}: {chosen}", row.name);
                assert_eq!((row.choose)(&Statistics::new(Keep::Magnitudes), &target), None, "{}", row.name);
            }
        }
    }

    #[test]
    fn a_range_covers_0_and_nothing_beyond_what_was_seen_and_needs_no_signs_where_there_are_none() {
        let of = |keep, shift: f32| {
            let values: Vec<f32> = (0..4096).map(|i| ((i * 37) % 4096) as f32 / 1024.0 - shift).collect();
            let mut seen = Statistics::new(keep);
            seen.observe(Activation { values: &values, dims: &[4, 1024] });
            seen
        };
        let target = Target { dtype: DType::Int8, percentile: DEFAULT_PERCENTILE };
        for row in &CALIBRATORS {
            let chosen = row.range(&of(Keep::Signs, 1.0), &target).unwrap();
            assert!(chosen.min >= -1.0 && chosen.min < -0.9, "{} {chosen:?}", row.name);
            assert!(chosen.max <= 4095.0 / 1024.0 - 1.0 && chosen.max > 2.9, "{} {chosen:?}", row.name);
            let above = row.range(&of(Keep::Signs, -0.5), &target).unwrap();
            assert!(above.min == 0.0 && above.max > 4.0, "{} {above:?}", row.name);
            let below = row.range(&of(Keep::Signs, 5.0), &target).unwrap();
            assert!(below.max == 0.0 && below.min < -4.5, "{} {below:?}", row.name);
            let unsigned = of(Keep::Magnitudes, 1.0);
            let amax = (row.choose)(&unsigned, &target).unwrap();
            assert_eq!(row.range(&unsigned, &target), Some(MinMax { min: -1.0, max: amax }), "{}", row.name);
            assert_eq!(row.range(&Statistics::new(Keep::Signs), &target), None, "{}", row.name);
        }
    }

    #[test]
    fn only_algorithms_that_need_a_histogram_ask_for_one() {
        let mut seen = Statistics::new(Keep::Range);
        seen.observe(Activation { values: &[-3.0, 2.0], dims: &[2] });
        let target = Target { dtype: DType::Int8, percentile: DEFAULT_PERCENTILE };
        for row in &CALIBRATORS {
            assert_eq!((row.choose)(&seen, &target).is_none(), row.histogram, "{}", row.name);
        }
    }

    #[test]
    fn names_and_aliases_are_found_and_belong_to_one_row() {
        let names: Vec<&str> =
            CALIBRATORS.iter().flat_map(|row| row.aliases.iter().chain([&row.name])).copied().collect();
        for name in &names {
            assert_eq!(names.iter().filter(|other| *other == name).count(), 1, "{name}");
            assert!(find(name).is_some());
        }
        assert!(find("average").is_none());
    }
}
