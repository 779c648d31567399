//! A Llama-shaped bf16 checkpoint from a fixed seed.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use ptqd::{
    model::safetensors::{OutTensor, ShardWriter},
    tensor::Shape,
};
use rayon::prelude::*;
use serde_json::json;

const HIDDEN: usize = 4096;
const INTERMEDIATE: usize = 12_288;
const VOCABULARY: usize = 32_000;
/// Into how many shards it is cut.
pub(crate) const SHARDS: usize = 5;

/// The checkpoint, unless it is there already.
pub(crate) fn make(folder: &Path, gigabytes: f64) -> PathBuf {
    let linear = 4 * HIDDEN * HIDDEN + 3 * HIDDEN * INTERMEDIATE;
    let outside = 2 * VOCABULARY * HIDDEN;
    let layers = ((gigabytes * 5e8 - outside as f64) / linear as f64).round().max(1.0) as usize;
    let model = folder.join(format!("llama-{layers}"));
    if model.join("model.safetensors.index.json").exists() {
        return model;
    }
    fs::create_dir_all(&model).unwrap();
    let mut tensors: Vec<(String, Vec<usize>)> = vec![("model.embed_tokens.weight".into(), vec![VOCABULARY, HIDDEN])];
    for layer in 0..layers {
        let name = |part: &str| format!("model.layers.{layer}.{part}.weight");
        for part in ["q_proj", "k_proj", "v_proj", "o_proj"] {
            tensors.push((name(&format!("self_attn.{part}")), vec![HIDDEN, HIDDEN]));
        }
        tensors.push((name("mlp.gate_proj"), vec![INTERMEDIATE, HIDDEN]));
        tensors.push((name("mlp.up_proj"), vec![INTERMEDIATE, HIDDEN]));
        tensors.push((name("mlp.down_proj"), vec![HIDDEN, INTERMEDIATE]));
        tensors.push((name("input_layernorm"), vec![HIDDEN]));
        tensors.push((name("post_attention_layernorm"), vec![HIDDEN]));
    }
    tensors.push(("model.norm.weight".into(), vec![HIDDEN]));
    tensors.push(("lm_head.weight".into(), vec![VOCABULARY, HIDDEN]));
    let mut weight_map = BTreeMap::new();
    for (number, part) in tensors.chunks(tensors.len().div_ceil(SHARDS)).enumerate() {
        let name = format!("model-{:05}-of-{SHARDS:05}.safetensors", number + 1);
        let tensor = |(name, dims): &(String, Vec<usize>)| OutTensor {
            name: name.clone(),
            dtype: "BF16".into(),
            bits: 16,
            shape: Shape::new(dims.clone()).unwrap(),
        };
        let out: Vec<OutTensor> = part.iter().map(tensor).collect();
        let writer = ShardWriter::create(&model.join(&name), out, &BTreeMap::new()).unwrap();
        for (at, (tensor, dims)) in part.iter().enumerate() {
            let seed = (number * 10_000 + at) as u64;
            write(&writer, tensor, dims.iter().product(), seed);
            weight_map.insert(tensor.clone(), name.clone());
        }
        writer.finish().unwrap();
    }
    let config = json!({"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": HIDDEN,
        "intermediate_size": INTERMEDIATE, "num_hidden_layers": layers, "num_attention_heads": 32,
        "vocab_size": VOCABULARY, "torch_dtype": "bfloat16", "tie_word_embeddings": false});
    fs::write(model.join("config.json"), config.to_string()).unwrap();
    let index = json!({"metadata": {"total_size": 0}, "weight_map": weight_map});
    fs::write(model.join("model.safetensors.index.json"), index.to_string()).unwrap();
    assert!(Command::new("sync").status().expect("sync starts").success());
    model
}

/// Values that are nearly normal with deviation 0.02: sums of four uniform ones.
fn write(writer: &ShardWriter, tensor: &str, elements: usize, seed: u64) {
    const BLOCK: usize = 1 << 20;
    (0..elements.div_ceil(BLOCK)).into_par_iter().for_each(|block| {
        let mut state = (seed << 32 | block as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let count = BLOCK.min(elements - block * BLOCK);
        let mut bytes = Vec::with_capacity(2 * count);
        for _ in 0..count {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let uniform: i32 = state.to_le_bytes()[..4].iter().map(|&byte| i32::from(byte)).sum();
            let value = (uniform as f32 - 510.0) * (0.02 / 147.8);
            bytes.extend_from_slice(&((value.to_bits() >> 16) as u16).to_le_bytes());
        }
        writer.write(tensor, (2 * BLOCK * block) as u64, &bytes).unwrap();
    });
}
