//! What is odd about data without being wrong.

use crate::fault::WarningCode;
use std::ops::Range;

use super::{Dataset, DatasetError, Values};

/// The most samples that are looked at.
const LOOKED_AT: usize = 16;

/// Something odd: a code and a sentence.
pub type DataWarning = (WarningCode, String);

/// Samples that are all the same, and floats that look like pixels nobody normalized, among the first few of `samples`.
pub fn data_checks(data: &Dataset, samples: Range<usize>) -> Result<Vec<DataWarning>, DatasetError> {
    let mut found = Vec::new();
    let few = samples.start..samples.end.min(samples.start + LOOKED_AT);
    let mut differ = few.len() < 2;
    for (name, array) in data.arrays() {
        let values = array.read(name, few.clone())?;
        let per_sample: usize = array.shape().dims().iter().skip(1).product();
        differ |= match &values {
            Values::Float(floats) => floats.chunks(per_sample.max(1)).any(|sample| sample != &floats[..per_sample]),
            Values::Int(integers) => integers.chunks(per_sample.max(1)).any(|sample| sample != &integers[..per_sample]),
        };
        let Values::Float(floats) = values else { continue };
        let largest = floats.iter().copied().fold(0.0, f32::max);
        if largest > 64.0 && floats.iter().all(|&x| (0.0..=255.0).contains(&x) && x.fract() == 0.0) {
            let message = format!(
                "array `{name}` holds whole numbers from 0 to {largest}: pixels as they are? Ranges are only right for \
                 data that is preprocessed as the model expects"
            );
            found.push((WarningCode::SamplesNotNormalized, message));
        }
    }
    if !differ {
        let message = format!("the first {} samples are all the same: they tell the ranges of one", few.len());
        found.push((WarningCode::SamplesIdentical, message));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{dataset::Array, tensor::Shape};

    fn codes(values: Vec<f32>) -> Vec<WarningCode> {
        let shape = Shape::new(vec![values.len() / 2, 2]).unwrap();
        let array = Array::from_values(shape, &Values::Float(values)).unwrap();
        let data = Dataset::from_arrays(BTreeMap::from([("x".to_owned(), array)])).unwrap();
        data_checks(&data, 0..data.samples()).unwrap().into_iter().map(|(code, _)| code).collect()
    }

    #[test]
    fn sameness_and_pixels_are_seen_and_ordinary_data_is_not_odd() {
        assert_eq!(codes(vec![0.5, 1.0, 0.5, 1.0]), [WarningCode::SamplesIdentical]);
        assert_eq!(codes(vec![0.0, 255.0, 7.0, 12.0]), [WarningCode::SamplesNotNormalized]);
        assert_eq!(codes(vec![0.5, 100.0, 7.0, 12.0]), []);
        assert_eq!(codes(vec![0.5, 1.0]), []);
    }
}
