//! NumPy's `.npy` and `.npz`: elements.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufReader, Read, Seek},
    path::Path,
};

use zip::ZipArchive;

use super::{
    Array, DatasetError, UNNAMED, Values,
    npy_header::{Endian, Header},
};
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

fn read_npy(name: &str, mut reader: impl Read) -> Result<Array, DatasetError> {
    let corrupt = |reason: io::Error| DatasetError::Corrupt { array: name.to_owned(), reason: reason.to_string() };
    let header = Header::read(&mut reader).map_err(corrupt)?;
    let shape = Shape::new(header.shape).map_err(|source| DatasetError::Shape { array: name.to_owned(), source })?;
    let elements = shape.elements();
    let bytes = 8 * elements as u64;
    if bytes > MOST_BYTES {
        return Err(DatasetError::TooLarge { array: name.to_owned(), bytes, limit: MOST_BYTES });
    }
    let mut elements = Elements { reader, count: elements, endian: header.endian };
    let values = match header.kind.as_str() {
        "f4" => elements.read(f32::from_le_bytes).map(Values::Float),
        "f8" => elements.read(|b| f64::from_le_bytes(b) as f32).map(Values::Float),
        "f2" => elements.read(|b| half::f16::from_le_bytes(b).to_f32()).map(Values::Float),
        "i1" => elements.read(|b| i64::from(i8::from_le_bytes(b))).map(Values::Int),
        "i2" => elements.read(|b| i64::from(i16::from_le_bytes(b))).map(Values::Int),
        "i4" => elements.read(|b| i64::from(i32::from_le_bytes(b))).map(Values::Int),
        "i8" => elements.read(i64::from_le_bytes).map(Values::Int),
        "u1" => elements.read(|b| i64::from(u8::from_le_bytes(b))).map(Values::Int),
        "u2" => elements.read(|b| i64::from(u16::from_le_bytes(b))).map(Values::Int),
        "u4" => elements.read(|b| i64::from(u32::from_le_bytes(b))).map(Values::Int),
        "b1" => elements.read(|[b]: [u8; 1]| i64::from(b != 0)).map(Values::Int),
        _ => return Err(DatasetError::ElementType { array: name.to_owned(), found: header.descr }),
    };
    let values = match values.map_err(corrupt)? {
        Values::Float(v) if header.fortran => Values::Float(row_major(&v, shape.dims())),
        Values::Int(v) if header.fortran => Values::Int(row_major(&v, shape.dims())),
        values => values,
    };
    let disagree = || corrupt(io::Error::other("its length does not agree with its shape"));
    Array::new(shape, values).ok_or_else(disagree)
}

/// The elements that follow a header.
struct Elements<R> {
    reader: R,
    count: usize,
    endian: Endian,
}

impl<R: Read> Elements<R> {
    /// Reads in parts: memory grows with what is there, not with what a header claims.
    fn read<const SIZE: usize, T>(&mut self, convert: impl Fn([u8; SIZE]) -> T) -> io::Result<Vec<T>> {
        const PART: usize = 1 << 16;
        let mut values = Vec::new();
        let mut part = vec![0; PART.min(self.count) * SIZE];
        while values.len() < self.count {
            let wanted = PART.min(self.count - values.len()) * SIZE;
            self.reader.read_exact(&mut part[..wanted])?;
            values.extend(part[..wanted].as_chunks::<SIZE>().0.iter().map(|&element| match self.endian {
                Endian::Little => convert(element),
                Endian::Big => {
                    let mut swapped = element;
                    swapped.reverse();
                    convert(swapped)
                }
            }));
        }
        Ok(values)
    }
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
