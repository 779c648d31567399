//! What the tensors of a checkpoint are, told from their names and shapes.
//!
//! A checkpoint has no module classes, so they are inferred: `X.weight` belongs to the module `X`, and its rank says
//! which: 2 a Linear (or an Embedding, by its name), 3 to 5 a convolution, 1 a norm. As in torchao's default filter, a
//! bare `*` takes Linear layers only, and of these neither the output head nor the router of a mixture of experts.

use std::collections::{BTreeMap, BTreeSet};

use safetensors::Dtype;

use crate::{
    model::checkpoint::{Checkpoint, Shard, TensorInfo},
    spec::{Layer, Reason, Support},
};

const EMBEDDINGS: [&str; 6] = ["embed", "emb", "wte", "wpe", "shared", "position_embeddings"];
const HEADS: [&str; 5] = ["lm_head", "head", "classifier", "embed_out", "output_layer"];
const ROUTERS: [&str; 3] = ["gate", "router", "shared_expert_gate"];
/// Model types whose `Conv1D` modules hold a weight of rank 2 that is `[in, out]`, the wrong way round for a Linear.
const TRANSPOSED_MODELS: [&str; 4] = ["gpt2", "openai-gpt", "imagegpt", "decision_transformer"];
const TRANSPOSED: [&str; 4] = ["c_attn", "c_proj", "c_fc", "q_attn"];
const PARAMETER: &str = "Parameter";

/// One layer for each tensor, in the order of the files. `model_type` is that of the model's config.json.
pub(super) fn layers(checkpoint: &Checkpoint, model_type: Option<&str>) -> Vec<Layer> {
    let transposed = model_type.is_some_and(|kind| TRANSPOSED_MODELS.contains(&kind));
    let of_shard = |shard: &Shard| {
        let names: BTreeSet<&str> = shard.tensors.iter().map(|tensor| tensor.name.as_str()).collect();
        shard.tensors.iter().map(|tensor| layer(&names, tensor, transposed)).collect::<Vec<_>>()
    };
    checkpoint.shards.iter().flat_map(of_shard).collect()
}

/// For each tensor, in the order of the files, the position of the one it is tied to: the same elements, first name.
pub(super) fn ties(checkpoint: &Checkpoint) -> BTreeMap<usize, usize> {
    let (mut ties, mut first) = (BTreeMap::new(), 0);
    for shard in &checkpoint.shards {
        // In the order of their bytes, equal ranges are neighbours.
        for (at, tensor) in shard.tensors.iter().enumerate().skip(1) {
            let kept = ties.get(&(first + at - 1)).copied().unwrap_or(first + at - 1);
            if tensor.is_tied_to(&shard.tensors[kept - first]) {
                ties.insert(first + at, kept);
            }
        }
        first += shard.tensors.len();
    }
    ties
}

/// Whether a class is one whose layers hold a weight worth reporting.
pub(super) fn holds_weight(class: &str) -> bool {
    class != PARAMETER && class != "Norm"
}

fn layer(names: &BTreeSet<&str>, tensor: &TensorInfo, transposed: bool) -> Layer {
    let Some(module) = tensor.name.strip_suffix(".weight") else {
        return Layer {
            name: tensor.name.clone(),
            aliases: Vec::new(),
            classes: vec![PARAMETER.to_owned()],
            support: Support::No(Reason::OpUnsupported),
        };
    };
    let last = module.rsplit('.').next().unwrap_or(module).to_lowercase();
    let named = |names: &[&str]| names.contains(&last.as_str());
    let (class, support) = match tensor.shape.rank() {
        0 | 1 => ("Norm", Support::No(Reason::OpUnsupported)),
        2 if named(&EMBEDDINGS) || last.contains("embed_tokens") || last.contains("embedding") => {
            ("Embedding", Support::IfNamed(Reason::EmbeddingNotNamed))
        }
        2 if transposed && named(&TRANSPOSED) => ("Conv1D", Support::No(Reason::Transposed)),
        2 if named(&HEADS) => ("Linear", Support::IfNamed(Reason::HeadNotNamed)),
        2 if named(&ROUTERS) => ("Linear", Support::IfNamed(Reason::RouterNotNamed)),
        2 => ("Linear", Support::Yes),
        3 => ("Conv1d", Support::IfNamed(Reason::ConvolutionNotNamed)),
        4 => ("Conv2d", Support::IfNamed(Reason::ConvolutionNotNamed)),
        5 => ("Conv3d", Support::IfNamed(Reason::ConvolutionNotNamed)),
        _ => (PARAMETER, Support::No(Reason::ShapeUnsupported)),
    };
    let support = match support {
        Support::No(_) => support,
        _ if is_quantized(names, tensor) => Support::No(Reason::AlreadyQuantized),
        _ if tensor.float_format().is_none() => Support::No(Reason::DtypeUnsupported),
        _ if tensor.shape.elements() == 0 => Support::No(Reason::Empty),
        _ => support,
    };
    Layer { name: module.to_owned(), aliases: vec![tensor.name.clone()], classes: vec![class.to_owned()], support }
}

fn is_quantized(names: &BTreeSet<&str>, tensor: &TensorInfo) -> bool {
    matches!(tensor.dtype, Dtype::I8 | Dtype::U8 | Dtype::F8_E4M3 | Dtype::F8_E5M2)
        || names.contains(format!("{}_scale", tensor.name).as_str())
}
