//! Calibration and evaluation data: named arrays whose first axis counts samples.
//!
//! Reads NumPy's `.npy` and `.npz`, safetensors, folders of these, and folders of images, a few samples at a time.
//! Everything in a file is checked before it is used: types and shapes at once, values as they are read.
//! Knows nothing of models: which array goes to which input is the engine's question.

mod array;
mod data_checks;
mod error;
mod folder;
mod images;
mod npy;
mod npy_header;
mod preprocess;
mod safetensors;

use std::{collections::BTreeMap, path::Path};

pub use array::{Array, Element, Values};
pub use data_checks::{DataWarning, data_checks};
pub use error::DatasetError;
pub use preprocess::{Color, Layout, Preprocess, Size};

/// The name of the only array of a `.npy` file and of a folder of images, which have none.
pub const UNNAMED: &str = "";
/// The name of the array that says which folder each image lies in.
pub const CLASS: &str = "class";

/// All arrays of a data file.
#[derive(Clone, Debug)]
pub struct Dataset {
    arrays: BTreeMap<String, Array>,
    samples: usize,
}

impl Dataset {
    /// Opens a file or a folder. Files are told apart by their first bytes; `preprocess` is for images.
    pub fn open(path: &Path, preprocess: Option<&Preprocess>) -> Result<Self, DatasetError> {
        if path.is_dir() {
            return Self::from_arrays(folder::read(path, preprocess)?);
        }
        if preprocess.is_some() {
            return Err(DatasetError::PreprocessNotApplicable { path: path.to_owned() });
        }
        Self::from_arrays(read_file(path)?)
    }

    /// From arrays in memory or in files, which must have the same number of samples.
    pub fn from_arrays(arrays: BTreeMap<String, Array>) -> Result<Self, DatasetError> {
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

/// All arrays of a file.
fn read_file(path: &Path) -> Result<BTreeMap<String, Array>, DatasetError> {
    let safetensors = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("safetensors"));
    if safetensors { safetensors::read(path) } else { npy::read(path) }
}
