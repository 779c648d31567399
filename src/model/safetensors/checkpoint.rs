//! [`Checkpoint`]: the headers of all shards, the tensors' bytes mapped.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    ops::Range,
    path::{Component, Path, PathBuf},
};

use safetensors::{Dtype, SafeTensors};

use super::SafetensorsError;
use crate::{model::mapped::Mapped, numeric::FloatFormat, tensor::Shape};

/// How the name of an index of shards ends.
pub const INDEX_SUFFIX: &str = ".safetensors.index.json";

/// One tensor of a shard.
#[derive(Clone, Debug)]
pub struct TensorInfo {
    /// Its name.
    pub name: String,
    /// Its element type as in the header.
    pub dtype: Dtype,
    /// Its shape.
    pub shape: Shape,
    /// Where its bytes lie in the file.
    range: Range<usize>,
}

impl TensorInfo {
    /// The float format, if it is one that can be quantized.
    pub fn float_format(&self) -> Option<FloatFormat> {
        match self.dtype {
            Dtype::F32 => Some(FloatFormat::F32),
            Dtype::F16 => Some(FloatFormat::F16),
            Dtype::BF16 => Some(FloatFormat::Bf16),
            _ => None,
        }
    }

    /// Its size in bytes.
    pub fn bytes(&self) -> usize {
        self.range.len()
    }
}

/// One file of a checkpoint.
#[derive(Debug)]
pub struct Shard {
    /// The file's name, without its folder.
    pub file_name: String,
    /// Its tensors, in the order of their bytes.
    pub tensors: Vec<TensorInfo>,
    /// The header's free-form metadata.
    pub metadata: BTreeMap<String, String>,
    map: Mapped,
}

impl Shard {
    fn open(path: &Path) -> Result<Self, SafetensorsError> {
        let map = Mapped::open(path).map_err(|source| SafetensorsError::Read { path: path.to_owned(), source })?;
        let header = |source| SafetensorsError::Header { path: path.to_owned(), source };
        // The library checks sizes before it allocates, and that the tensors cover the file without gap or overlap.
        let (length, metadata) = SafeTensors::read_metadata(map.as_ref()).map_err(header)?;
        let data = length + 8;
        let mut tensors = Vec::new();
        for (name, info) in metadata.tensors() {
            let shape = Shape::new(info.shape.clone())
                .map_err(|source| SafetensorsError::Shape { tensor: name.clone(), source })?;
            let range = data + info.data_offsets.0..data + info.data_offsets.1;
            tensors.push(TensorInfo { name, dtype: info.dtype, shape, range });
        }
        tensors.sort_by(|a, b| (a.range.start, a.range.end, &a.name).cmp(&(b.range.start, b.range.end, &b.name)));
        let metadata = metadata.metadata().clone().unwrap_or_default().into_iter().collect();
        let file_name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Shard { file_name, tensors, metadata, map })
    }

    /// The bytes of one of this shard's tensors.
    pub fn bytes(&self, tensor: &TensorInfo) -> &[u8] {
        &self.map.as_ref()[tensor.range.clone()]
    }

    /// The file's size in bytes.
    pub fn file_bytes(&self) -> u64 {
        self.map.as_ref().len() as u64
    }
}

/// A whole checkpoint.
#[derive(Debug)]
pub struct Checkpoint {
    /// The folder of the shards.
    pub folder: PathBuf,
    /// The shards, sorted by file name.
    pub shards: Vec<Shard>,
    /// The file name of the index, where there is one.
    pub index: Option<String>,
    /// Files of the folder that are neither shards nor index (`config.json`, tokenizer…), sorted; only of a folder.
    pub side_files: Vec<String>,
}

impl Checkpoint {
    /// Opens a file, an index or a folder and reads all headers.
    pub fn open(path: &Path) -> Result<Self, SafetensorsError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            return Self::open_folder(path);
        }
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        if name.ends_with(INDEX_SUFFIX) {
            return Self::open_index(folder, name, Vec::new());
        }
        Ok(Checkpoint { folder, shards: vec![Shard::open(path)?], index: None, side_files: Vec::new() })
    }

    fn open_folder(folder: &Path) -> Result<Self, SafetensorsError> {
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
        let (shards, side_files): (Vec<String>, Vec<String>) = files
            .into_iter()
            .filter(|name| Some(name) != index.as_ref())
            .partition(|name| name.ends_with(".safetensors"));
        if let Some(index) = index {
            return Self::open_index(folder.to_owned(), index, side_files);
        }
        if shards.is_empty() {
            return Err(SafetensorsError::NoShards { path: folder.to_owned() });
        }
        let shards = shards.iter().map(|name| Shard::open(&folder.join(name))).collect::<Result<_, _>>()?;
        let checkpoint = Checkpoint { folder: folder.to_owned(), shards, index: None, side_files };
        checkpoint.check_unique()?;
        Ok(checkpoint)
    }

    fn open_index(folder: PathBuf, index: String, side_files: Vec<String>) -> Result<Self, SafetensorsError> {
        let path = folder.join(&index);
        let text = fs::read(&path).map_err(|source| SafetensorsError::Read { path: path.clone(), source })?;
        let invalid = |reason: String| SafetensorsError::Index { path: path.clone(), reason };
        let json: serde_json::Value = serde_json::from_slice(&text).map_err(|e| invalid(e.to_string()))?;
        let map = json.get("weight_map").and_then(|map| map.as_object());
        let map = map.ok_or_else(|| invalid("there is no `weight_map` object".to_owned()))?;
        let mut weight_map = BTreeMap::new();
        for (tensor, shard) in map {
            let shard = shard.as_str().ok_or_else(|| invalid(format!("the shard of `{tensor}` is not a string")))?;
            let mut components = Path::new(shard).components();
            if !matches!((components.next(), components.next()), (Some(Component::Normal(_)), None)) {
                return Err(SafetensorsError::ShardName { shard: shard.to_owned() });
            }
            weight_map.insert(tensor.as_str(), shard);
        }
        let names: BTreeSet<&str> = weight_map.values().copied().collect();
        let shards: Vec<Shard> = names.iter().map(|name| Shard::open(&folder.join(name))).collect::<Result<_, _>>()?;
        for (shard, tensor) in shards.iter().flat_map(|s| s.tensors.iter().map(move |t| (s, t))) {
            if weight_map.remove(tensor.name.as_str()) != Some(shard.file_name.as_str()) {
                return Err(SafetensorsError::Disagree { tensor: tensor.name.clone() });
            }
        }
        if let Some((tensor, _)) = weight_map.pop_first() {
            return Err(SafetensorsError::Disagree { tensor: tensor.to_owned() });
        }
        Ok(Checkpoint { folder, shards, index: Some(index), side_files })
    }

    fn check_unique(&self) -> Result<(), SafetensorsError> {
        let mut seen = BTreeSet::new();
        match self.tensors().find(|(_, tensor)| !seen.insert(tensor.name.as_str())) {
            Some((_, twice)) => Err(SafetensorsError::Disagree { tensor: twice.name.clone() }),
            None => Ok(()),
        }
    }

    /// Every tensor with its shard, in the order of the files.
    pub fn tensors(&self) -> impl Iterator<Item = (&Shard, &TensorInfo)> {
        self.shards.iter().flat_map(|shard| shard.tensors.iter().map(move |tensor| (shard, tensor)))
    }
}
