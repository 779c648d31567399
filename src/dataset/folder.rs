//! A folder of data: files of arrays, joined along axis 0 in the order of their names, or images.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use super::{Array, CLASS, DatasetError, Preprocess, UNNAMED, Values, array::Source, images::Images, read_file};
use crate::tensor::Shape;

/// All arrays of a folder. Links and files of other kinds are passed over.
pub(super) fn read(folder: &Path, preprocess: Option<&Preprocess>) -> Result<BTreeMap<String, Array>, DatasetError> {
    let listed = list(folder)?;
    let mut images: Vec<(PathBuf, i64)> = listed.images.into_iter().map(|path| (path, 0)).collect();
    let loose = !images.is_empty();
    // As torchvision's ImageFolder: a folder for each class, in the order of their names.
    let classes = listed.folders.iter().map(|folder| list(folder).map(|inside| inside.images));
    let classes = classes.collect::<Result<Vec<_>, _>>()?.into_iter().filter(|images| !images.is_empty());
    let mut number = 0;
    for class in classes {
        images.extend(class.into_iter().map(|path| (path, number)));
        number += 1;
    }
    if !images.is_empty() && !listed.arrays.is_empty() || loose && number > 0 {
        return Err(DatasetError::Mixed { path: folder.to_owned() });
    }
    if images.is_empty() {
        if preprocess.is_some() && !listed.arrays.is_empty() {
            return Err(DatasetError::PreprocessNotApplicable { path: folder.to_owned() });
        }
        return join(&listed.arrays);
    }
    let (paths, labels): (Vec<PathBuf>, Vec<i64>) = images.into_iter().unzip();
    let mut arrays = BTreeMap::from([(UNNAMED.to_owned(), Array::from_images(Images::open(paths, preprocess)?)?)]);
    if number > 0 {
        let shape =
            Shape::new(vec![labels.len()]).map_err(|source| DatasetError::Shape { array: CLASS.to_owned(), source })?;
        arrays.extend(Array::from_values(shape, &Values::Int(labels)).map(|array| (CLASS.to_owned(), array)));
    }
    Ok(arrays)
}

#[derive(Default)]
struct Listed {
    arrays: Vec<PathBuf>,
    images: Vec<PathBuf>,
    folders: Vec<PathBuf>,
}

fn list(folder: &Path) -> Result<Listed, DatasetError> {
    let unreadable = |source| DatasetError::Read { path: folder.to_owned(), source };
    let entries: io::Result<Vec<_>> = fs::read_dir(folder).map_err(unreadable)?.collect();
    let mut listed = Listed::default();
    for entry in entries.map_err(unreadable)? {
        let (kind, path) = (entry.file_type().map_err(unreadable)?, entry.path());
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        match extension.as_str() {
            _ if entry.file_name().as_encoded_bytes().starts_with(b".") => {}
            _ if kind.is_dir() => listed.folders.push(path),
            _ if !kind.is_file() => {}
            "npy" | "npz" | "safetensors" => listed.arrays.push(path),
            "png" | "jpg" | "jpeg" => listed.images.push(path),
            _ => {}
        }
    }
    listed.arrays.sort();
    listed.images.sort();
    listed.folders.sort();
    Ok(listed)
}

fn join(files: &[PathBuf]) -> Result<BTreeMap<String, Array>, DatasetError> {
    let mut joined: BTreeMap<String, Vec<Array>> = BTreeMap::new();
    for (number, path) in files.iter().enumerate() {
        let arrays = read_file(path)?;
        let disagree = |array: &str| DatasetError::PartsDisagree { array: array.to_owned(), path: path.clone() };
        if let Some(missing) = joined.keys().find(|name| !arrays.contains_key(*name)) {
            return Err(disagree(missing));
        }
        for (name, array) in arrays {
            let parts = joined.entry(name.clone()).or_default();
            let alike = |first: &Array| {
                first.element() == array.element() && first.shape().dims().get(1..) == array.shape().dims().get(1..)
            };
            if parts.len() != number || !parts.first().is_none_or(alike) || array.samples().is_none() {
                return Err(disagree(&name));
            }
            parts.push(array);
        }
    }
    let one = |(name, parts): (String, Vec<Array>)| {
        let Some(first) = parts.first() else { return Err(DatasetError::Empty) };
        let element = first.element();
        let samples = parts.iter().filter_map(Array::samples).sum();
        let dims = [samples].into_iter().chain(first.shape().dims().iter().skip(1).copied());
        let too_large = |source| DatasetError::Shape { array: name.clone(), source };
        let shape = Shape::new(dims.collect()).map_err(too_large)?;
        let array = Array::new(shape, element, Source::Parts(parts)).ok_or(DatasetError::Empty)?;
        Ok((name, array))
    };
    joined.into_iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::Dataset;

    fn safetensors(path: &Path, dtype: &str, shape: &str, data: &[u8]) {
        let header =
            format!(r#"{{"x":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[0,{}]}}}}"#, data.len()).into_bytes();
        fs::write(path, [&(header.len() as u64).to_le_bytes()[..], &header, data].concat()).unwrap();
    }

    #[test]
    fn files_are_joined_in_the_order_of_their_names() {
        let folder = tempfile::tempdir().unwrap();
        safetensors(&folder.path().join("b.safetensors"), "I8", "[1,2]", &[5, 6]);
        safetensors(&folder.path().join("a.safetensors"), "I8", "[2,2]", &[1, 2, 3, 4]);
        fs::write(folder.path().join("readme.txt"), "not data").unwrap();
        let data = Dataset::open(folder.path(), None).unwrap();
        assert_eq!(data.samples(), 3);
        let read = |samples| data.arrays()["x"].read("x", samples).unwrap();
        assert_eq!(read(0..3), Values::Int(vec![1, 2, 3, 4, 5, 6]));
        assert_eq!(
            (read(1..3), read(2..3), read(1..1)),
            (Values::Int(vec![3, 4, 5, 6]), Values::Int(vec![5, 6]), Values::Int(vec![]))
        );
        safetensors(&folder.path().join("c.safetensors"), "I8", "[2,1]", &[1, 2]);
        assert!(matches!(Dataset::open(folder.path(), None), Err(DatasetError::PartsDisagree { .. })));
        safetensors(&folder.path().join("c.safetensors"), "U8", "[1,2]", &[1, 2]);
        assert!(matches!(Dataset::open(folder.path(), None), Err(DatasetError::PartsDisagree { .. })));
    }

    #[test]
    fn an_empty_folder_has_no_samples() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(Dataset::open(folder.path(), None), Err(DatasetError::Empty)));
    }
}
