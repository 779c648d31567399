//! What can be wrong with a data file.

use std::{io, path::PathBuf};

use crate::{
    fault::{Explanation, Fault, FaultCode},
    tensor::{Shape, ShapeError},
};

/// What can be wrong with a data file.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message says what each field is")]
pub enum DatasetError {
    /// It cannot be read.
    #[error("cannot read the data file {path}", path = path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// It is neither `.npy` nor `.npz`, and not named `.safetensors`.
    #[error("{path} is neither a .npy, a .npz nor a .safetensors file", path = path.display())]
    Format { path: PathBuf },
    /// The array's header or data is not what its format says.
    #[error("array `{array}` cannot be read: {reason}")]
    Corrupt { array: String, reason: String },
    /// The file is there as it was written, and is not what its format says.
    #[error("array `{array}` cannot be read: {reason}")]
    Malformed { array: String, reason: String },
    /// A folder holds both images and arrays.
    #[error("{path} holds images and files of arrays; which of them are the samples?", path = path.display())]
    Mixed { path: PathBuf },
    /// Arrays of one name in a folder's files do not fit together.
    #[error("array `{array}` of {path} has not the type and shape that it has in the file before", path = path.display())]
    PartsDisagree { array: String, path: PathBuf },
    /// An image cannot be read.
    #[error("the image {path} cannot be used: {reason}", path = path.display())]
    Image { path: PathBuf, reason: String },
    /// Preprocessing of what are no images.
    #[error("{path} holds arrays, which are taken as they are; `preprocess` is for folders of images", path = path.display())]
    PreprocessNotApplicable { path: PathBuf },
    /// An array has an impossible shape.
    #[error("array `{array}` has an impossible shape")]
    Shape {
        array: String,
        #[source]
        source: ShapeError,
    },
    /// An array's element type is not a number.
    #[error("array `{array}` has elements of type {found}, which are not plain numbers")]
    ElementType {
        array: String,
        /// NumPy's name of the type.
        found: String,
    },
    /// An array does not fit the limit.
    #[error("array `{array}` needs {bytes} bytes, more than the limit of {limit}")]
    TooLarge {
        array: String,
        /// Its size in memory.
        bytes: u64,
        limit: u64,
    },
    /// An array has no sample axis.
    #[error("array `{array}` is a scalar; the first axis counts samples")]
    Scalar { array: String },
    /// Two arrays have different numbers of samples.
    #[error("array `{array}` has {found} samples where `{first}` has {expected}")]
    SampleCounts { first: String, expected: usize, array: String, found: usize },
    /// A value is NaN or infinite.
    #[error("array `{array}` holds a NaN or an infinity in sample {sample}")]
    NotFinite {
        array: String,
        /// The first such sample.
        sample: usize,
    },
    /// No array, or no sample.
    #[error("the data file holds no samples")]
    Empty,
    /// An array that was asked for is not there.
    #[error("the data file has no array `{array}`; it has {available:?}")]
    NoSuchArray { array: String, available: Vec<String> },
    /// The labels are not one integer for each sample.
    #[error("the labels `{array}` have shape {shape}; they need to be integers, one for each sample")]
    Labels { array: String, shape: Shape },
    /// What is to say where samples are padded says something else.
    #[error("`{array}` has values besides 0 and 1, so it does not tell what is padding")]
    Mask { array: String },
}

impl Fault for DatasetError {
    fn explain(&self) -> Explanation<'_> {
        use FaultCode::*;
        match self {
            DatasetError::Read { .. } => DatasetUnreadable.plain(),
            DatasetError::Format { .. } => {
                DatasetFormatUnknown.hint("save it with numpy.savez(path, input_name=array)")
            }
            DatasetError::Corrupt { .. } => {
                DatasetCorrupt.hint("the file may be truncated: compare its size and digest with the source")
            }
            DatasetError::Malformed { .. } => DatasetCorrupt.hint("save it again, with numpy.savez or safetensors"),
            DatasetError::Shape { .. } => DatasetCorrupt.plain(),
            DatasetError::Mixed { .. } => DatasetFolderInconsistent.hint("give a folder that holds only one kind"),
            DatasetError::PartsDisagree { .. } => {
                DatasetFolderInconsistent.hint("files of a folder are joined along axis 0; all else must be equal")
            }
            DatasetError::Image { .. } => {
                DatasetImageInvalid.hint("set preprocess.resize and preprocess.crop so that all images end alike")
            }
            DatasetError::PreprocessNotApplicable { .. } => DatasetPreprocessNotApplicable.hint("remove `preprocess`"),
            DatasetError::ElementType { .. } => DatasetTypeUnsupported.hint("save it as float32 or int64"),
            DatasetError::TooLarge { .. } => {
                DatasetTooLarge.hint("use fewer samples; a few hundred representative ones are enough")
            }
            DatasetError::Scalar { .. } | DatasetError::SampleCounts { .. } => {
                DatasetSamplesDisagree.hint("every array needs the same number of samples on axis 0")
            }
            DatasetError::NotFinite { .. } => {
                DatasetNotFinite.hint("repair or remove the sample; it would ruin the calibrated ranges")
            }
            DatasetError::Empty => DatasetEmpty
                .hint("data is a .npz, .npy or .safetensors file, a folder of them, or a folder of .png and .jpg"),
            DatasetError::NoSuchArray { .. } => DatasetArrayMissing.plain(),
            DatasetError::Labels { .. } => DatasetLabelsInvalid.plain(),
            DatasetError::Mask { .. } => DatasetMaskInvalid.plain(),
        }
    }
}
