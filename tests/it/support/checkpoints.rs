//! Checkpoints made for tests, and what must stay the same of their results.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use half::bf16;
use ptqd::{
    model::safetensors::{OutTensor, ShardWriter},
    tensor::Shape,
};
use serde_json::json;

/// Values of many magnitudes, from a seed.
pub fn values(seed: u32, count: usize) -> Vec<bf16> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 8_388_608.0 - 0.99
    };
    (0..count).map(|_| bf16::from_f32(next().powi(3) * 0.1)).collect()
}

/// A safetensors file of bf16 tensors: name, dims and values of each.
pub fn write_bf16(path: &Path, tensors: &[(&str, Vec<usize>, Vec<bf16>)]) {
    let out = tensors.iter().map(|(name, dims, _)| OutTensor {
        name: (*name).to_owned(),
        dtype: "BF16".into(),
        bits: 16,
        shape: Shape::new(dims.clone()).unwrap(),
    });
    let writer = ShardWriter::create(path, out.collect(), &BTreeMap::new()).unwrap();
    for (name, _, values) in tensors {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        writer.write(name, 0, &bytes).unwrap();
    }
    writer.finish().unwrap();
}

/// Four shards with an index, of a few megabytes each.
pub fn sharded(folder: &Path, rows: usize) -> PathBuf {
    in_shards(folder, 4, rows)
}

/// So many shards with an index.
pub fn in_shards(folder: &Path, shards: u32, rows: usize) -> PathBuf {
    let model = folder.join("model");
    fs::create_dir(&model).unwrap();
    let mut weight_map = BTreeMap::new();
    for shard in 0..shards {
        let file = format!("model-{:05}-of-{shards:05}.safetensors", shard + 1);
        let name = format!("layers.{shard}.up_proj.weight");
        write_bf16(&model.join(&file), &[(&name, vec![rows, 2048], values(shard, rows * 2048))]);
        weight_map.insert(name, file);
    }
    let index = json!({"metadata": {}, "weight_map": weight_map}).to_string();
    fs::write(model.join("model.safetensors.index.json"), index).unwrap();
    fs::write(model.join("config.json"), r#"{"model_type": "llama"}"#).unwrap();
    model
}

/// The files that must not differ between runs of one job: all but those that hold times.
pub fn lasting(out: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(out).unwrap().map(|entry| entry.unwrap());
    files
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path()))
        .filter(|(name, _)| !["report.json", "manifest.json"].contains(&name.as_str()))
        .map(|(name, path)| (name, fs::read(path).unwrap()))
        .collect()
}
