//! Reading checkpoints: headers checked, tensors mapped.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    path::{Component, Path, PathBuf},
};

use safetensors::{SafeTensorError, SafeTensors};
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use super::{SUFFIX, SafetensorsError};
use crate::{
    fault::json_words,
    model::checkpoint::{Checkpoint, Shard, TensorInfo},
    tensor::{Mapped, Shape},
};

/// How the name of an index of shards ends.
pub const INDEX_SUFFIX: &str = ".safetensors.index.json";

/// Opens a file, an index or a folder and reads all headers.
pub fn open(path: &Path) -> Result<Checkpoint, SafetensorsError> {
    if path.is_dir() {
        return open_folder(path);
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let folder = path.parent().unwrap_or(Path::new("")).to_owned();
    if name.ends_with(INDEX_SUFFIX) {
        return open_index(folder, &name, Vec::new());
    }
    Ok(Checkpoint { folder, shards: vec![open_shard(path)?], side_files: Vec::new() })
}

fn open_shard(path: &Path) -> Result<Shard, SafetensorsError> {
    let map = Mapped::open(path).map_err(|source| SafetensorsError::Read { path: path.to_owned(), source })?;
    let header = |error: SafeTensorError| SafetensorsError::Header { path: path.to_owned(), source: error.into() };
    let first = map.as_ref().first_chunk::<8>().copied();
    if first.is_some_and(|first| header_end(first).is_none()) {
        return Err(header(SafeTensorError::HeaderTooLarge));
    }
    // The library checks sizes before it allocates, and that the tensors cover the file without gap or overlap.
    let (length, metadata) = SafeTensors::read_metadata(map.as_ref()).map_err(header)?;
    let data = length + 8;
    // It keeps the last of two entries of one name, though; which one another reader keeps is anyone's guess.
    if let Err(error) = serde_json::from_slice::<DistinctKeys>(map.as_ref().get(8..data).unwrap_or_default()) {
        return Err(SafetensorsError::Ambiguous { path: path.to_owned(), reason: json_words(&error) });
    }
    let mut tensors = Vec::new();
    for (name, info) in metadata.tensors() {
        let shape = Shape::new(info.shape.clone())
            .map_err(|source| SafetensorsError::Shape { tensor: name.clone(), source })?;
        let range = data + info.data_offsets.0..data + info.data_offsets.1;
        tensors.push(TensorInfo { name, dtype: info.dtype, shape, range, strides: None });
    }
    tensors.sort_by(|a, b| (a.range.start, a.range.end, &a.name).cmp(&(b.range.start, b.range.end, &b.name)));
    let metadata = metadata.metadata().clone().unwrap_or_default().into_iter().collect();
    let file_name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Shard { file_name, tensors, metadata, map })
}

/// A JSON object of which no two keys are equal, its values not looked at.
struct DistinctKeys;

impl<'de> Deserialize<'de> for DistinctKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = DistinctKeys;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<DistinctKeys, A::Error> {
                let mut seen = BTreeSet::new();
                while let Some((key, IgnoredAny)) = map.next_entry::<String, IgnoredAny>()? {
                    if let Some(twice) = seen.replace(key) {
                        return Err(A::Error::custom(format_args!("`{twice}` stands twice in the header")));
                    }
                }
                Ok(DistinctKeys)
            }
        }
        deserializer.deserialize_map(Keys)
    }
}

fn open_folder(folder: &Path) -> Result<Checkpoint, SafetensorsError> {
    let read = |source| SafetensorsError::Read { path: folder.to_owned(), source };
    let mut files = BTreeSet::new();
    for entry in fs::read_dir(folder).map_err(read)? {
        let entry = entry.map_err(read)?;
        // Not followed: a link in a model folder may point anywhere.
        if entry.file_type().map_err(read)?.is_file() {
            files.insert(entry.file_name().to_string_lossy().into_owned());
        }
    }
    let index = files.iter().find(|name| name.ends_with(INDEX_SUFFIX)).cloned();
    let (shards, side_files): (Vec<String>, Vec<String>) =
        files.into_iter().filter(|name| Some(name) != index.as_ref()).partition(|name| name.ends_with(SUFFIX));
    if let Some(index) = index {
        return open_index(folder.to_owned(), &index, side_files);
    }
    if shards.is_empty() {
        return Err(SafetensorsError::NoShards { path: folder.to_owned() });
    }
    let shards = shards.iter().map(|name| open_shard(&folder.join(name))).collect::<Result<_, _>>()?;
    let checkpoint = Checkpoint { folder: folder.to_owned(), shards, side_files };
    check_unique(&checkpoint)?;
    Ok(checkpoint)
}

/// The names of the shards that an index refers to, sorted; of any other path there are none.
pub(super) fn shards(path: &Path) -> Result<Vec<String>, SafetensorsError> {
    if path.is_dir() || !path.to_string_lossy().ends_with(INDEX_SUFFIX) {
        return Ok(Vec::new());
    }
    let names: BTreeSet<String> = weight_map(path)?.into_values().collect();
    Ok(names.into_iter().collect())
}

/// The most bytes of a header: some 200,000 tensors. The format allows 100 MB, which take 1.4 GB of memory to read.
const LONGEST_HEADER: u64 = 32 << 20;

/// Where the header of a file ends, told by its first bytes; `None` if no header is so long.
pub fn header_end(first: [u8; 8]) -> Option<u64> {
    let length = u64::from_le_bytes(first);
    (length <= LONGEST_HEADER).then(|| length + 8)
}

/// The shard of each tensor. The shards are names of files and nothing else.
fn weight_map(path: &Path) -> Result<BTreeMap<String, String>, SafetensorsError> {
    let text = fs::read(path).map_err(|source| SafetensorsError::Read { path: path.to_owned(), source })?;
    let invalid = |reason: String| SafetensorsError::Index { path: path.to_owned(), reason };
    let json: serde_json::Value = serde_json::from_slice(&text).map_err(|e| invalid(json_words(&e)))?;
    let map = json.get("weight_map").and_then(|map| map.as_object());
    let map = map.ok_or_else(|| invalid("there is no `weight_map` object".to_owned()))?;
    let mut weight_map = BTreeMap::new();
    for (tensor, shard) in map {
        let shard = shard.as_str().ok_or_else(|| invalid(format!("the shard of `{tensor}` is not a string")))?;
        let mut components = Path::new(shard).components();
        let plain = matches!((components.next(), components.next()), (Some(Component::Normal(_)), None));
        if !plain || shard.contains(['/', '\\', '\0']) {
            return Err(SafetensorsError::ShardName { shard: shard.to_owned() });
        }
        weight_map.insert(tensor.clone(), shard.to_owned());
    }
    Ok(weight_map)
}

fn open_index(folder: PathBuf, index: &str, side_files: Vec<String>) -> Result<Checkpoint, SafetensorsError> {
    let mut weight_map = weight_map(&folder.join(index))?;
    let names: BTreeSet<String> = weight_map.values().cloned().collect();
    let shards: Vec<Shard> = names.iter().map(|name| open_shard(&folder.join(name))).collect::<Result<_, _>>()?;
    for (shard, tensor) in shards.iter().flat_map(|s| s.tensors.iter().map(move |t| (s, t))) {
        if weight_map.remove(&tensor.name).as_deref() != Some(&*shard.file_name) {
            return Err(SafetensorsError::Disagree { tensor: tensor.name.clone() });
        }
    }
    if let Some((tensor, _)) = weight_map.pop_first() {
        return Err(SafetensorsError::Disagree { tensor });
    }
    Ok(Checkpoint { folder, shards, side_files })
}

fn check_unique(checkpoint: &Checkpoint) -> Result<(), SafetensorsError> {
    let mut seen = BTreeSet::new();
    match checkpoint.tensors().find(|(_, tensor)| !seen.insert(tensor.name.as_str())) {
        Some((_, twice)) => Err(SafetensorsError::Disagree { tensor: twice.name.clone() }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, data: usize) -> Vec<u8> {
        [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &vec![0; data]].concat()
    }

    /// Headers as an attacker would write them, each with a word that its error must hold.
    #[test]
    fn hostile_headers_are_refused() {
        let tensor =
            |dims: &str, offsets: &str| format!(r#"{{"dtype":"F32","shape":{dims},"data_offsets":{offsets}}}"#);
        let one = tensor("[1]", "[0,4]");
        let deep = format!(r#"{{"__metadata__":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        let cases: Vec<Vec<u8>> = vec![
            file(&format!(r#"{{"a":{one},"a":{}}}"#, tensor("[1]", "[0,4]")), 4),
            file(&format!(r#"{{"a":{one},"b":{}}}"#, tensor("[1]", "[2,6]")), 6),
            file(&format!(r#"{{"a":{one},"b":{}}}"#, tensor("[1]", "[8,12]")), 12),
            file(&format!(r#"{{"a":{}}}"#, tensor("[2]", "[0,4]")), 4),
            file(&format!(r#"{{"a":{}}}"#, tensor("[4294967296,4294967296,4]", "[0,4]")), 4),
            file(&format!(r#"{{"a":{}}}"#, tensor("[-1]", "[0,4]")), 4),
            file(&format!(r#"{{"a":{}}}"#, tensor("[1]", "[4,0]")), 4),
            file(&format!(r#"{{"a":{}}}"#, tensor("[1]", "[0,18446744073709551615]")), 4),
            file(&format!(r#"{{"a":{one}}}"#), 3),
            file(&format!(r#"{{"a":{one}}}"#), 5),
            file(r#"{"a":{"dtype":"F31","shape":[1],"data_offsets":[0,4]}}"#, 4),
            file(&deep, 0),
            file("[]", 0),
            u64::MAX.to_le_bytes().to_vec(),
            [&(1u64 << 40).to_le_bytes()[..], b"{}"].concat(),
            file(&format!("{{}}{}", " ".repeat(40 << 20)), 0),
            vec![1, 2, 3],
            Vec::new(),
        ];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.safetensors");
        for (number, bytes) in cases.into_iter().enumerate() {
            fs::write(&path, bytes).unwrap();
            let error = open(&path).unwrap_err();
            assert!(
                matches!(
                    error,
                    SafetensorsError::Header { .. }
                        | SafetensorsError::Ambiguous { .. }
                        | SafetensorsError::Shape { .. }
                ),
                "case {number}: {error}"
            );
        }
        fs::write(&path, file(&format!(r#"{{"a":{one}}}"#), 4)).unwrap();
        assert_eq!(open(&path).unwrap().shards[0].tensors[0].bytes(), 4);
    }
}
