//! What the tensors of a checkpoint are, told from their names and shapes.
//!
//! A checkpoint has no module classes, so they are inferred: `X.weight` belongs to the module `X`, and its rank says
//! which: 2 a Linear (or an Embedding, by its name), 3 to 5 a convolution, 1 a norm. As in torchao's default filter, a
//! bare `*` takes Linear layers only, and of these not the output head.

use safetensors::Dtype;

use crate::{
    model::safetensors::{Checkpoint, Shard, TensorInfo},
    spec::{Layer, Reason, Support},
};

const EMBEDDINGS: [&str; 6] = ["embed", "emb", "wte", "wpe", "shared", "position_embeddings"];
const HEADS: [&str; 5] = ["lm_head", "head", "classifier", "embed_out", "output_layer"];
const PARAMETER: &str = "Parameter";

/// One layer for each tensor, in the order of the files.
pub(super) fn layers(checkpoint: &Checkpoint) -> Vec<Layer> {
    checkpoint.tensors().map(|(shard, tensor)| layer(shard, tensor)).collect()
}

/// Whether a class is one whose layers hold a weight worth reporting.
pub(super) fn holds_weight(class: &str) -> bool {
    class != PARAMETER && class != "Norm"
}

fn layer(shard: &Shard, tensor: &TensorInfo) -> Layer {
    let Some(module) = tensor.name.strip_suffix(".weight") else {
        return Layer {
            name: tensor.name.clone(),
            aliases: Vec::new(),
            classes: vec![PARAMETER.to_owned()],
            support: Support::No(Reason::OpUnsupported),
        };
    };
    let last = module.rsplit('.').next().unwrap_or(module).to_lowercase();
    let (class, support) = match tensor.shape.rank() {
        0 | 1 => ("Norm", Support::No(Reason::OpUnsupported)),
        2 if EMBEDDINGS.iter().any(|e| last == *e || last.contains("embed_tokens") || last.contains("embedding")) => {
            ("Embedding", Support::IfNamed(Reason::EmbeddingNotNamed))
        }
        2 if HEADS.contains(&last.as_str()) => ("Linear", Support::IfNamed(Reason::HeadNotNamed)),
        2 => ("Linear", Support::Yes),
        3 => ("Conv1d", Support::IfNamed(Reason::ConvolutionNotNamed)),
        4 => ("Conv2d", Support::IfNamed(Reason::ConvolutionNotNamed)),
        5 => ("Conv3d", Support::IfNamed(Reason::ConvolutionNotNamed)),
        _ => (PARAMETER, Support::No(Reason::ShapeUnsupported)),
    };
    let support = match support {
        Support::No(_) => support,
        _ if is_quantized(shard, tensor) => Support::No(Reason::AlreadyQuantized),
        _ if tensor.float_format().is_none() => Support::No(Reason::DtypeUnsupported),
        _ if tensor.shape.elements() == 0 => Support::No(Reason::Empty),
        _ => support,
    };
    Layer { name: module.to_owned(), aliases: vec![tensor.name.clone()], classes: vec![class.to_owned()], support }
}

fn is_quantized(shard: &Shard, tensor: &TensorInfo) -> bool {
    let scale = format!("{}_scale", tensor.name);
    matches!(tensor.dtype, Dtype::I8 | Dtype::U8 | Dtype::F8_E4M3 | Dtype::F8_E5M2)
        || shard.tensors.iter().any(|other| other.name == scale)
}
