//! The calibration algorithms: one file each, and a row of [`CALIBRATORS`].

mod algorithm;
mod codes;
pub mod entropy;
mod min_max;
pub mod mse;
pub mod percentile;

pub use algorithm::{Calibrator, Target};
pub use percentile::DEFAULT_PERCENTILE;

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
