//! Arrays of a safetensors file.

use std::{collections::BTreeMap, fs::File, path::Path, sync::Arc};

use ::safetensors::{Dtype, SafeTensorError, SafeTensors};

use super::{Array, DatasetError, Element, array::Source};
use crate::{
    fault::json_words,
    tensor::{Mapped, Shape},
};

/// All arrays of a file.
pub(super) fn read(path: &Path) -> Result<BTreeMap<String, Array>, DatasetError> {
    let unreadable = |source| DatasetError::Read { path: path.to_owned(), source };
    let corrupt = |reason: String| DatasetError::Corrupt { array: "*".to_owned(), reason };
    // Mapped for the header alone; values are read from the file.
    let map = Mapped::open(path).map_err(unreadable)?;
    let (header, metadata) = SafeTensors::read_metadata(map.as_ref()).map_err(|error| match error {
        SafeTensorError::InvalidHeaderDeserialization(error) => DatasetError::Malformed {
            array: "*".to_owned(),
            reason: format!("its header cannot be read: {}", json_words(&error)),
        },
        other => corrupt(other.to_string()),
    })?;
    let file = Arc::new(File::open(path).map_err(unreadable)?);
    let mut arrays = BTreeMap::new();
    for (name, info) in metadata.tensors() {
        let element = element(info.dtype)
            .ok_or_else(|| DatasetError::ElementType { array: name.clone(), found: format!("{:?}", info.dtype) })?;
        let shape =
            Shape::new(info.shape.clone()).map_err(|source| DatasetError::Shape { array: name.clone(), source })?;
        let start = (size_of::<u64>() + header + info.data_offsets.0) as u64;
        let array = Array::new(shape, element, Source::File(Arc::clone(&file), start));
        arrays.insert(name, array.ok_or_else(|| corrupt("it ends before its last tensor".to_owned()))?);
    }
    Ok(arrays)
}

fn element(dtype: Dtype) -> Option<Element> {
    Some(match dtype {
        Dtype::F16 => Element::F16,
        Dtype::BF16 => Element::Bf16,
        Dtype::F32 => Element::F32,
        Dtype::F64 => Element::F64,
        Dtype::BOOL => Element::Bool,
        Dtype::I8 => Element::Int(1),
        Dtype::I16 => Element::Int(2),
        Dtype::I32 => Element::Int(4),
        Dtype::I64 => Element::Int(8),
        Dtype::U8 => Element::Unsigned(1),
        Dtype::U16 => Element::Unsigned(2),
        Dtype::U32 => Element::Unsigned(4),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::dataset::{Dataset, Values};

    #[test]
    fn tensors_are_arrays() {
        let header = br#"{"x":{"dtype":"BF16","shape":[2,1],"data_offsets":[0,4]},"y":{"dtype":"U8","shape":[2],"data_offsets":[4,6]}}"#;
        let data = [0x80, 0x3f, 0x00, 0xc0, 7, 255];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.safetensors");
        let whole = [&(header.len() as u64).to_le_bytes()[..], header, &data].concat();
        fs::write(&path, &whole).unwrap();
        let read = Dataset::open(&path, None).unwrap();
        assert_eq!(read.arrays()["x"].read("x", 0..2).unwrap(), Values::Float(vec![1.0, -2.0]));
        assert_eq!(read.arrays()["y"].read("y", 1..2).unwrap(), Values::Int(vec![255]));
        fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        assert!(matches!(Dataset::open(&path, None), Err(DatasetError::Corrupt { .. })));
        let header = br#"{"x":{"dtype":"BF16"}}"#;
        fs::write(&path, [&(header.len() as u64).to_le_bytes()[..], header].concat()).unwrap();
        let error = Dataset::open(&path, None).unwrap_err();
        assert!(matches!(error, DatasetError::Malformed { .. }) && error.to_string().contains("`shape`"), "{error}");
    }
}
