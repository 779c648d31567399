//! Calibration and evaluation data: named arrays whose first axis counts samples.
//!
//! Reads NumPy's `.npy` and `.npz`, a few samples at a time and from the mapped file where they lie there as they are.
//! Everything in a file is checked before it is used: types and shapes at once, values as they are read.
//! Knows nothing of models: which array goes to which input is the engine's question.

mod array;
mod error;
mod npy;
mod npy_header;

use std::{collections::BTreeMap, path::Path};

pub use array::{Array, Element, Values};
pub use error::DatasetError;

/// The name of the only array of a `.npy` file, which has none.
pub const UNNAMED: &str = "";

/// All arrays of a data file.
#[derive(Clone, Debug)]
pub struct Dataset {
    arrays: BTreeMap<String, Array>,
    samples: usize,
}

impl Dataset {
    /// Reads a `.npy` or `.npz` file, told apart by their first bytes.
    pub fn open(path: &Path) -> Result<Self, DatasetError> {
        Self::from_arrays(npy::read(path)?)
    }

    fn from_arrays(arrays: BTreeMap<String, Array>) -> Result<Self, DatasetError> {
        let mut counted: Option<(&str, usize)> = None;
        for (name, array) in &arrays {
            let found = array.samples().ok_or_else(|| DatasetError::Scalar { array: name.clone() })?;
            let (first, expected) = *counted.get_or_insert((name, found));
            if found != expected {
                let (first, array) = (first.to_owned(), name.clone());
                return Err(DatasetError::SampleCounts { first, expected, array, found });
            }
        }
        match counted {
            None | Some((_, 0)) => Err(DatasetError::Empty),
            Some((_, samples)) => Ok(Dataset { arrays, samples }),
        }
    }

    /// Number of samples in the file.
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// The arrays by name.
    pub fn arrays(&self) -> &BTreeMap<String, Array> {
        &self.arrays
    }

    /// Takes an array out, e.g. the labels.
    pub fn take(&mut self, name: &str) -> Result<Array, DatasetError> {
        let available = || self.arrays.keys().cloned().collect();
        let missing = DatasetError::NoSuchArray { array: name.to_owned(), available: available() };
        self.arrays.remove(name).ok_or(missing)
    }
}
