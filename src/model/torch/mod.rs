//! PyTorch's `.pth` and `.pt` files, as far as they hold tensors in plain containers. Executes nothing.

mod error;
mod pickle;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{Cursor, Read},
    ops::Range,
    path::Path,
    rc::Rc,
};

use zip::{CompressionMethod, ZipArchive};

use self::pickle::{Container, Pickled, PickledTensor, Value};
use super::{
    ModelFormat,
    checkpoint::{Checkpoint, Shard, TensorInfo},
};
use crate::tensor::{Mapped, Shape};

pub use error::TorchError;
pub use pickle::PickleError;

/// How PyTorch's files are recognised.
pub const FORMAT: ModelFormat = ModelFormat {
    name: "torch",
    described: "a PyTorch state dict (a .pth, .pt or .bin file)",
    recognise,
    companions: |_| Ok(Vec::new()),
};

/// Containers within containers. A file that nests deeper, or in a circle, is hostile.
const DEEPEST: usize = 32;
/// Values looked at. Shared containers could otherwise be made to multiply without end.
const MOST_VALUES: usize = 1 << 20;

/// Bytes of all names together. A long key that many containers share would be written out in each.
const MOST_NAME_BYTES: usize = 64 << 20;

fn recognise(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default().to_ascii_lowercase();
    match extension.as_str() {
        "pth" | "pt" => path.is_file(),
        // Anything may be called .bin.
        "bin" => {
            let mut magic = [0; 4];
            File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok() && magic == *b"PK\x03\x04"
        }
        _ => false,
    }
}

/// Opens a file and lists its tensors by name, those in nested dicts by their path: `state_dict.fc.weight`. The second part
/// names what is no tensor and will not be carried over.
pub fn open(path: &Path) -> Result<(Checkpoint, Vec<String>), TorchError> {
    let map = Mapped::open(path).map_err(|source| TorchError::Read { path: path.to_owned(), source })?;
    let archive = |reason: String| TorchError::Archive { path: path.to_owned(), reason };
    let entries = entries(map.as_ref()).map_err(|e| archive(e.to_string()))?;
    let (prefix, pickle) = entries
        .iter()
        .find_map(|(name, range)| Some((name.strip_suffix("data.pkl")?, range.clone()?)))
        .ok_or_else(|| archive("there is no uncompressed data.pkl in it".to_owned()))?;
    let big_endian = entries.get(&format!("{prefix}byteorder")).and_then(Option::as_ref);
    if big_endian.is_some_and(|range| map.as_ref().get(range.clone()) == Some(b"big")) {
        return Err(archive("its tensors are big-endian".to_owned()));
    }
    let pickled = pickle::read(map.as_ref().get(pickle).unwrap_or_default())
        .map_err(|source| TorchError::Pickle { path: path.to_owned(), source })?;
    let mut found = Found::default();
    if !found.visit("", &pickled, &pickled.root, 0) {
        return Err(TorchError::Content { path: path.to_owned(), what: "containers without end" });
    }
    let mut tensors = Vec::new();
    for (name, tensor) in &found.tensors {
        let storage = || entries.get(&format!("{prefix}data/{}", tensor.storage)).cloned().flatten();
        let info = storage().and_then(|range| place(name, tensor, range));
        let unfit = || TorchError::Storage { tensor: name.clone(), storage: tensor.storage.clone() };
        tensors.push(info.ok_or_else(unfit)?);
    }
    if tensors.is_empty() {
        return Err(TorchError::Content { path: path.to_owned(), what: "no tensor" });
    }
    tensors.sort_by(|a, b| (a.range.start, a.range.end, &a.name).cmp(&(b.range.start, b.range.end, &b.name)));
    let file_name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
    let shards = vec![Shard { file_name, tensors, metadata, map }];
    let folder = path.parent().unwrap_or(Path::new("")).to_owned();
    Ok((Checkpoint { folder, shards, side_files: Vec::new() }, found.others.into_iter().collect()))
}

/// The archive's files: where the bytes of those that are stored uncompressed lie.
fn entries(bytes: &[u8]) -> zip::result::ZipResult<BTreeMap<String, Option<Range<usize>>>> {
    let mut archive = ZipArchive::new(Cursor::new(bytes))?;
    let mut entries = BTreeMap::new();
    for index in 0..archive.len() {
        let file = archive.by_index_raw(index)?;
        let range = (file.compression() == CompressionMethod::Stored)
            .then(|| {
                let start = usize::try_from(file.data_start()?).ok()?;
                let end = start.checked_add(usize::try_from(file.size()).ok()?)?;
                (end <= bytes.len()).then_some(start..end)
            })
            .flatten();
        entries.insert(file.name()?.into_owned(), range);
    }
    Ok(entries)
}

#[derive(Default)]
struct Found {
    tensors: BTreeMap<String, Rc<PickledTensor>>,
    others: BTreeSet<String>,
    values: usize,
    name_bytes: usize,
}

impl Found {
    /// Collects what a value holds. False if there is no end to it.
    fn visit(&mut self, name: &str, pickled: &Pickled, value: &Value, depth: usize) -> bool {
        self.values += 1;
        self.name_bytes = self.name_bytes.saturating_add(name.len());
        if depth > DEEPEST || self.values > MOST_VALUES || self.name_bytes > MOST_NAME_BYTES {
            return false;
        }
        let inner = |key: &str| if name.is_empty() { key.to_owned() } else { format!("{name}.{key}") };
        match value {
            Value::Tensor(tensor) => {
                let name = if name.is_empty() { "tensor" } else { name };
                self.tensors.insert(name.to_owned(), Rc::clone(tensor));
                true
            }
            Value::Container(at) => match pickled.containers.get(*at) {
                Some(Container::Dict(pairs)) => pairs.iter().all(|(key, value)| {
                    let key = match key {
                        Value::Text(key) => key.to_string(),
                        Value::Int(key) => key.to_string(),
                        _ => "?".to_owned(),
                    };
                    self.visit(&inner(&key), pickled, value, depth + 1)
                }),
                Some(Container::List(values) | Container::Tuple(values)) => values
                    .iter()
                    .enumerate()
                    .all(|(at, value)| self.visit(&inner(&at.to_string()), pickled, value, depth + 1)),
                None => true,
            },
            _ => {
                self.others.insert(name.to_owned());
                true
            }
        }
    }
}

/// Where a tensor lies in the file; `None` if it does not fit its storage.
fn place(name: &str, tensor: &PickledTensor, storage: Range<usize>) -> Option<TensorInfo> {
    let size = tensor.dtype.bitsize() / 8;
    let shape = Shape::new(tensor.dims.clone()).ok()?;
    let start = storage.start.checked_add(tensor.offset.checked_mul(size)?)?;
    let info = |range, strides| TensorInfo {
        name: name.to_owned(),
        dtype: tensor.dtype,
        shape: shape.clone(),
        range,
        strides,
    };
    if shape.elements() == 0 {
        return Some(info(start.min(storage.end)..start.min(storage.end), None));
    }
    let steps = tensor.dims.iter().zip(&tensor.strides);
    let last =
        steps.clone().try_fold(0usize, |last, (dim, stride)| last.checked_add((dim - 1).checked_mul(*stride)?))?;
    let end = start.checked_add(last.checked_add(1)?.checked_mul(size)?)?;
    // A stride of 0 repeats elements, so that a few bytes could claim to be terabytes.
    if end > storage.end || shape.elements().checked_mul(size)? > storage.len() {
        return None;
    }
    let mut expected = 1;
    let mut row_major = true;
    for (&dim, &stride) in steps.rev() {
        row_major &= dim == 1 || stride == expected;
        expected *= dim;
    }
    Some(if row_major { info(start..end, None) } else { info(start..end, Some(tensor.strides.clone())) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A dict of so many keys of a length, each for the same dict of values that are no tensors.
    fn pickled(keys: usize, length: usize) -> Pickled {
        let pairs = |count: usize, value: fn() -> Value| -> Container {
            let text = |n: usize| format!("{n}{}", "k".repeat(length));
            Container::Dict((0..count).map(|n| (Value::Text(text(n).into()), value())).collect())
        };
        let containers = vec![pairs(keys, || Value::Container(1)), pairs(keys, || Value::Int(0))];
        Pickled { root: Value::Container(0), containers }
    }

    #[test]
    fn long_names_that_multiply_come_to_an_end() {
        let visit = |pickled: &Pickled| Found::default().visit("", pickled, &pickled.root, 0);
        assert!(visit(&pickled(100, 100)));
        assert!(!visit(&pickled(100, 100_000)), "a gigabyte of names");
    }
}
