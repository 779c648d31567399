//! NumPy's `.npy` and `.npz`.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufReader, Read, Seek},
    path::Path,
};

use npyz::{DType, Deserialize, NpyFile, Order, TypeChar};
use zip::ZipArchive;

use super::{Array, DatasetError, UNNAMED, Values};
use crate::tensor::Shape;

/// The most memory that one array may take.
const MOST_BYTES: u64 = 4 << 30;

/// All arrays of a file.
pub(super) fn read(path: &Path) -> Result<BTreeMap<String, Array>, DatasetError> {
    let unreadable = |source| DatasetError::Read { path: path.to_owned(), source };
    let mut file = BufReader::new(File::open(path).map_err(unreadable)?);
    let mut magic = [0; 6];
    let known = file.read_exact(&mut magic).map(|()| (magic.starts_with(b"PK"), &magic == b"\x93NUMPY"));
    file.rewind().map_err(unreadable)?;
    match known {
        Ok((true, _)) => read_npz(file),
        Ok((_, true)) => Ok(BTreeMap::from([(UNNAMED.to_owned(), read_npy(UNNAMED, file)?)])),
        _ => Err(DatasetError::Format { path: path.to_owned() }),
    }
}

fn read_npz(file: BufReader<File>) -> Result<BTreeMap<String, Array>, DatasetError> {
    let corrupt = |array: &str, reason: String| DatasetError::Corrupt { array: array.to_owned(), reason };
    let mut archive = ZipArchive::new(file).map_err(|e| corrupt("*", e.to_string()))?;
    let mut arrays = BTreeMap::new();
    for i in 0..archive.len() {
        let entry = archive.by_index(i).map_err(|e| corrupt("*", e.to_string()))?;
        let name = entry.name().map_err(|e| corrupt("*", e.to_string()))?.into_owned();
        let Some(name) = name.strip_suffix(".npy") else { continue };
        let array = read_npy(name, entry)?;
        if arrays.insert(name.to_owned(), array).is_some() {
            return Err(corrupt(name, "it stands twice in the archive".to_owned()));
        }
    }
    Ok(arrays)
}

fn read_npy(name: &str, reader: impl Read) -> Result<Array, DatasetError> {
    let corrupt = |reason: io::Error| DatasetError::Corrupt { array: name.to_owned(), reason: reason.to_string() };
    let file = NpyFile::new(reader).map_err(corrupt)?;
    let dims = file.shape().iter().map(|&d| usize::try_from(d).unwrap_or(usize::MAX)).collect();
    let shape = Shape::new(dims).map_err(|source| DatasetError::Shape { array: name.to_owned(), source })?;
    let bytes = 8 * shape.elements() as u64;
    if bytes > MOST_BYTES {
        return Err(DatasetError::TooLarge { array: name.to_owned(), bytes, limit: MOST_BYTES });
    }
    let fortran = file.order() == Order::Fortran;
    let unsupported = DatasetError::ElementType { array: name.to_owned(), found: file.dtype().descr() };
    let DType::Plain(element) = file.dtype() else { return Err(unsupported) };
    let values = match (element.type_char(), element.size_field()) {
        (TypeChar::Float, 4) => Values::Float(collect::<f32, _>(file, |x| x).map_err(corrupt)?),
        (TypeChar::Float, 8) => Values::Float(collect::<f64, _>(file, |x| x as f32).map_err(corrupt)?),
        (TypeChar::Int, 1) => Values::Int(collect::<i8, _>(file, i64::from).map_err(corrupt)?),
        (TypeChar::Int, 2) => Values::Int(collect::<i16, _>(file, i64::from).map_err(corrupt)?),
        (TypeChar::Int, 4) => Values::Int(collect::<i32, _>(file, i64::from).map_err(corrupt)?),
        (TypeChar::Int, 8) => Values::Int(collect::<i64, _>(file, |x| x).map_err(corrupt)?),
        (TypeChar::Uint, 1) => Values::Int(collect::<u8, _>(file, i64::from).map_err(corrupt)?),
        (TypeChar::Uint, 2) => Values::Int(collect::<u16, _>(file, i64::from).map_err(corrupt)?),
        (TypeChar::Uint, 4) => Values::Int(collect::<u32, _>(file, i64::from).map_err(corrupt)?),
        (TypeChar::Bool, 1) => Values::Int(collect::<bool, _>(file, i64::from).map_err(corrupt)?),
        _ => return Err(unsupported),
    };
    let values = match values {
        Values::Float(v) if fortran => Values::Float(row_major(&v, shape.dims())),
        Values::Int(v) if fortran => Values::Int(row_major(&v, shape.dims())),
        values => values,
    };
    let disagree = || corrupt(io::Error::other("its length does not agree with its shape"));
    Array::new(shape, values).ok_or_else(disagree)
}

/// Reads element by element: memory grows with what is there, not with what a header claims.
fn collect<T: Deserialize, U>(file: NpyFile<impl Read>, convert: impl Fn(T) -> U) -> io::Result<Vec<U>> {
    let reader = file.data::<T>().map_err(io::Error::other)?;
    reader.map(|x| x.map(&convert)).collect()
}

/// Reorders an array whose first axis varies fastest so that its last one does.
fn row_major<T: Copy>(values: &[T], dims: &[usize]) -> Vec<T> {
    let mut index = vec![0; dims.len()];
    (0..values.len())
        .map(|_| {
            let at = index.iter().zip(dims).rev().fold(0, |at, (&i, &dim)| at * dim + i);
            for axis in (0..dims.len()).rev() {
                index[axis] += 1;
                if index[axis] < dims[axis] {
                    break;
                }
                index[axis] = 0;
            }
            values[at]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use super::*;
    use crate::dataset::Dataset;

    /// The bytes that numpy.save writes for version 1.0 of the format.
    fn npy(descr: &str, fortran: bool, shape: &str, data: &[u8]) -> Vec<u8> {
        let order = if fortran { "True" } else { "False" };
        let mut header = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}").into_bytes();
        header.resize((header.len() + 11).next_multiple_of(64) - 11, b' ');
        header.push(b'\n');
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header);
        bytes.extend(data);
        bytes
    }

    fn open(bytes: &[u8]) -> Result<Dataset, DatasetError> {
        let folder = tempfile::tempdir().unwrap();
        let path: PathBuf = folder.path().join("x.npy");
        fs::write(&path, bytes).unwrap();
        Dataset::open(&path)
    }

    fn floats(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|x| x.to_le_bytes()).collect()
    }

    #[test]
    fn both_memory_orders_give_the_same_array() {
        let c = open(&npy("<f4", false, "(2, 3)", &floats(&[1., 2., 3., 4., 5., 6.]))).unwrap();
        let fortran = open(&npy("<f4", true, "(2, 3)", &floats(&[1., 4., 2., 5., 3., 6.]))).unwrap();
        assert_eq!(c.arrays(), fortran.arrays());
        assert_eq!(c.samples(), 2);
    }

    #[test]
    fn integers_and_doubles_are_widened_and_narrowed() {
        let labels = open(&npy("|u1", false, "(3,)", &[1, 2, 255])).unwrap();
        assert_eq!(labels.arrays()[UNNAMED].values(), &Values::Int(vec![1, 2, 255]));
        let doubles = open(&npy(">f8", false, "(1,)", &0.5f64.to_be_bytes())).unwrap();
        assert_eq!(doubles.arrays()[UNNAMED].values(), &Values::Float(vec![0.5]));
    }

    #[test]
    fn damaged_and_hostile_files_are_refused() {
        let whole = npy("<f4", false, "(2,)", &floats(&[1., 2.]));
        assert!(matches!(open(&whole[..whole.len() - 1]), Err(DatasetError::Corrupt { .. })));
        let huge = npy("<f4", false, "(99999999999999,)", &[]);
        assert!(matches!(open(&huge), Err(DatasetError::TooLarge { .. })));
        let overflow = npy("<f4", false, "(99999999999999, 99999999999999)", &[]);
        assert!(matches!(open(&overflow), Err(DatasetError::Shape { .. })));
        let pickled = npy("|O", false, "(1,)", b"cos\nsystem\n");
        assert!(matches!(open(&pickled), Err(DatasetError::ElementType { .. })));
        assert!(matches!(open(b"not an array"), Err(DatasetError::Format { .. })));
        assert!(matches!(open(b""), Err(DatasetError::Format { .. })));
        let scalar = npy("<f4", false, "()", &floats(&[1.]));
        assert!(matches!(open(&scalar), Err(DatasetError::Scalar { .. })));
        let empty = npy("<f4", false, "(0, 4)", &[]);
        assert!(matches!(open(&empty), Err(DatasetError::Empty)));
    }

    #[test]
    fn a_nan_is_named_with_its_sample() {
        let bytes = npy("<f4", false, "(3, 2)", &floats(&[1., 2., 3., 4., f32::NAN, 6.]));
        assert!(matches!(open(&bytes), Err(DatasetError::NotFinite { sample: 2, .. })));
    }
}
