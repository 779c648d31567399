//! NumPy's `.npy` and `.npz`: elements.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufReader, Read},
    os::unix::fs::FileExt,
    path::Path,
    sync::Arc,
};

use zip::{CompressionMethod, ZipArchive, result::ZipError};

use super::{
    Array, DatasetError, Element, UNNAMED,
    array::Source,
    npy_header::{Endian, Header},
};
use crate::tensor::Shape;

/// The most memory that one array may take, where it cannot be read from the file as it lies there.
const MOST_BYTES: u64 = 4 << 30;

/// How much larger an archive may become than it is. Compressed floats are seldom a tenth of themselves; a bomb is a
/// thousandth.
const MOST_RATIO: u64 = 100;
/// What any archive may become.
const LEAST_BUDGET: u64 = 256 << 20;

/// All arrays of a file.
pub(super) fn read(path: &Path) -> Result<BTreeMap<String, Array>, DatasetError> {
    let unreadable = |source| DatasetError::Read { path: path.to_owned(), source };
    let file = Arc::new(File::open(path).map_err(unreadable)?);
    let mut magic = [0; 6];
    let known = file.read_exact_at(&mut magic, 0).map(|()| (magic.starts_with(b"PK"), &magic == b"\x93NUMPY"));
    match known {
        Ok((true, _)) => read_npz(&file),
        Ok((_, true)) => {
            let array = read_npy(UNNAMED, BufReader::new(&*file), Some((&file, 0)), MOST_BYTES)?;
            Ok(BTreeMap::from([(UNNAMED.to_owned(), array)]))
        }
        _ => Err(DatasetError::Format { path: path.to_owned() }),
    }
}

fn read_npz(file: &Arc<File>) -> Result<BTreeMap<String, Array>, DatasetError> {
    let corrupt = |array: &str, reason: String| DatasetError::Corrupt { array: array.to_owned(), reason };
    let mut archive = ZipArchive::new(BufReader::new(&**file)).map_err(|e| corrupt("*", zip_words(&e)))?;
    let size = file.metadata().map_err(|e| corrupt("*", e.to_string()))?.len();
    // What all arrays together may take that are not read from the file as they lie there.
    let whole = size.saturating_mul(MOST_RATIO).clamp(LEAST_BUDGET, MOST_BYTES);
    let mut budget = whole;
    let mut arrays = BTreeMap::new();
    for i in 0..archive.len() {
        let entry = archive.by_index(i).map_err(|e| corrupt("*", zip_words(&e)))?;
        let name = entry.name().map_err(|e| corrupt("*", zip_words(&e)))?.into_owned();
        let Some(name) = name.strip_suffix(".npy") else { continue };
        // What is not compressed stays where it is.
        let place = entry.data_start().filter(|_| entry.compression() == CompressionMethod::Stored);
        let array = read_npy(name, entry, place.map(|start| (file, start)), budget).map_err(|error| match error {
            DatasetError::TooLarge { array, bytes, .. } => {
                DatasetError::TooLarge { array, bytes: bytes.saturating_add(whole - budget), limit: whole }
            }
            error => error,
        })?;
        budget = budget.saturating_sub(array.owned_bytes());
        if arrays.insert(name.to_owned(), array).is_some() {
            let reason = "it stands twice in the archive".to_owned();
            return Err(DatasetError::Malformed { array: name.to_owned(), reason });
        }
    }
    Ok(arrays)
}

/// What the library says of an archive, without its words for the system's errors.
fn zip_words(error: &ZipError) -> String {
    match error {
        ZipError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => "it ends too early".to_owned(),
        ZipError::InvalidArchive(_) => "the archive is damaged".to_owned(),
        ZipError::UnsupportedArchive(text) if *text == ZipError::PASSWORD_REQUIRED => "it is encrypted".to_owned(),
        ZipError::CompressionMethodNotSupported(_) => "it is compressed by another method than deflate".to_owned(),
        other => other.to_string(),
    }
}

/// An array of which `reader` gives the file. `place` is where its bytes lie, if they do as they are; else they are read
/// into memory, if they are no more than `limit`.
fn read_npy(
    name: &str,
    mut reader: impl Read,
    place: Option<(&Arc<File>, u64)>,
    limit: u64,
) -> Result<Array, DatasetError> {
    let corrupt = |error: io::Error| {
        let array = name.to_owned();
        match error.kind() {
            io::ErrorKind::InvalidData => DatasetError::Malformed { array, reason: error.to_string() },
            io::ErrorKind::UnexpectedEof => DatasetError::Corrupt { array, reason: "it ends too early".to_owned() },
            _ => DatasetError::Corrupt { array, reason: error.to_string() },
        }
    };
    let mut counted = Counted { inner: &mut reader, read: 0 };
    let header = Header::read(&mut counted).map_err(corrupt)?;
    let offset = counted.read;
    let shape = Shape::new(header.shape).map_err(|source| DatasetError::Shape { array: name.to_owned(), source })?;
    let element = element(&header.kind)
        .ok_or_else(|| DatasetError::ElementType { array: name.to_owned(), found: header.descr.clone() })?;
    let size = element.size();
    let length = shape.bytes(8 * size).unwrap_or(usize::MAX);
    let disagree = || corrupt(io::Error::other("its length does not agree with its shape"));
    if let Some((file, start)) = place.filter(|_| header.endian == Endian::Little && !header.fortran) {
        return Array::new(shape, element, Source::File(file.clone(), start + offset as u64)).ok_or_else(disagree);
    }
    if length as u64 > limit {
        return Err(DatasetError::TooLarge { array: name.to_owned(), bytes: length as u64, limit });
    }
    // Memory grows with what is there, not with what a header claims.
    let mut bytes = Vec::new();
    counted.take(length as u64).read_to_end(&mut bytes).map_err(corrupt)?;
    if bytes.len() != length {
        return Err(disagree());
    }
    if header.endian == Endian::Big {
        bytes.chunks_mut(size).for_each(<[u8]>::reverse);
    }
    let bytes = if header.fortran { row_major(&bytes, size, shape.dims()) } else { bytes };
    Array::new(shape, element, Source::Owned(bytes)).ok_or_else(disagree)
}

/// The element type with NumPy's name.
fn element(kind: &str) -> Option<Element> {
    Some(match kind {
        "f2" => Element::F16,
        "f4" => Element::F32,
        "f8" => Element::F64,
        "b1" => Element::Bool,
        "i1" => Element::Int(1),
        "i2" => Element::Int(2),
        "i4" => Element::Int(4),
        "i8" => Element::Int(8),
        "u1" => Element::Unsigned(1),
        "u2" => Element::Unsigned(2),
        "u4" => Element::Unsigned(4),
        _ => return None,
    })
}

/// A reader that knows how far it is.
struct Counted<'a, R> {
    inner: &'a mut R,
    read: usize,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.read += count;
        Ok(count)
    }
}

/// Reorders an array whose first axis varies fastest so that its last one does.
fn row_major(bytes: &[u8], size: usize, dims: &[usize]) -> Vec<u8> {
    let mut index = vec![0; dims.len()];
    let mut moved = Vec::with_capacity(bytes.len());
    for _ in 0..bytes.len() / size {
        let at = index.iter().zip(dims).rev().fold(0, |at, (&i, &dim)| at * dim + i);
        moved.extend_from_slice(&bytes[at * size..(at + 1) * size]);
        for axis in (0..dims.len()).rev() {
            index[axis] += 1;
            if index[axis] < dims[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
    moved
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use super::*;
    use crate::dataset::{Dataset, Values};

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
        Dataset::open(&path, None)
    }

    fn floats(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|x| x.to_le_bytes()).collect()
    }

    #[test]
    fn both_memory_orders_give_the_same_array() {
        let c = open(&npy("<f4", false, "(2, 3)", &floats(&[1., 2., 3., 4., 5., 6.]))).unwrap();
        let fortran = open(&npy("<f4", true, "(2, 3)", &floats(&[1., 4., 2., 5., 3., 6.]))).unwrap();
        let all = |data: &Dataset| data.arrays()[UNNAMED].read(UNNAMED, 0..2).unwrap();
        assert_eq!(all(&c), Values::Float(vec![1., 2., 3., 4., 5., 6.]));
        assert_eq!(all(&c), all(&fortran));
        assert_eq!(c.samples(), 2);
    }

    #[test]
    fn integers_and_doubles_are_widened_and_narrowed() {
        let labels = open(&npy("|u1", false, "(3,)", &[1, 2, 255])).unwrap();
        assert_eq!(labels.arrays()[UNNAMED].read("", 0..3).unwrap(), Values::Int(vec![1, 2, 255]));
        let doubles = open(&npy(">f8", false, "(1,)", &0.5f64.to_be_bytes())).unwrap();
        assert_eq!(doubles.arrays()[UNNAMED].read("", 0..1).unwrap(), Values::Float(vec![0.5]));
    }

    #[test]
    fn damaged_and_hostile_files_are_refused() {
        let whole = npy("<f4", false, "(2,)", &floats(&[1., 2.]));
        assert!(matches!(open(&whole[..whole.len() - 1]), Err(DatasetError::Corrupt { .. })));
        let huge = npy("<f4", false, "(99999999999999,)", &[]);
        assert!(matches!(open(&huge), Err(DatasetError::Corrupt { .. })));
        let huge = npy(">f4", false, "(99999999999999,)", &[]);
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
        let data = open(&bytes).unwrap();
        let read = |samples| data.arrays()[UNNAMED].read(UNNAMED, samples);
        assert!(read(0..2).is_ok());
        assert!(matches!(read(1..3), Err(DatasetError::NotFinite { sample: 2, .. })));
    }

    #[test]
    fn an_archive_that_unpacks_to_a_thousand_times_its_size_is_refused() {
        use std::io::Write;
        use zip::write::SimpleFileOptions;
        let zeros = npy("|u1", false, "(104857600,)", &vec![0; 100 << 20]);
        // Packed once and copied as it is: that takes long.
        let deflated = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
        let mut packed = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        packed.start_file("zeros.npy", deflated).unwrap();
        packed.write_all(&zeros).unwrap();
        let mut packed = packed.finish_into_readable().unwrap();
        let mut archive = |count: usize| {
            let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
            for n in 0..count {
                archive.raw_copy_file_rename(packed.by_index_raw(0).unwrap(), format!("{n}.npy")).unwrap();
            }
            archive.finish().unwrap().into_inner()
        };
        assert!(open(&archive(2)).is_ok(), "within what any archive may become");
        let error = open(&archive(3)).unwrap_err();
        assert!(matches!(error, DatasetError::TooLarge { limit: LEAST_BUDGET, .. }), "{error}");
    }
}
