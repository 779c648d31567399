//! What the tensors of a checkpoint are, by their names and shapes.
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
            let original = ties.get(&(first + at - 1)).copied().unwrap_or(first + at - 1);
            if tensor.is_tied_to(&shard.tensors[original - first]) {
                ties.insert(first + at, original);
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        model::safetensors::{OutTensor, ShardWriter, open},
        tensor::Shape,
    };

    /// Class and support of each tensor, in bf16, or in 64-bit integers where its name begins with `int`.
    fn found(tensors: &[(&str, &[usize])], model_type: Option<&str>) -> BTreeMap<String, (String, Support)> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.safetensors");
        let out = tensors.iter().map(|(name, dims)| {
            let (dtype, bits) = if name.starts_with("int") { ("I64", 64) } else { ("BF16", 16) };
            let shape = Shape::new(dims.to_vec()).unwrap();
            OutTensor { name: (*name).to_owned(), dtype: dtype.to_owned(), bits, shape }
        });
        ShardWriter::create(&path, out.collect(), &BTreeMap::new()).unwrap().finish().unwrap();
        let layers = layers(&open(&path).unwrap(), model_type);
        layers.into_iter().map(|layer| (layer.name, (layer.classes.concat(), layer.support))).collect()
    }

    #[test]
    fn classes_are_told_from_names_and_ranks() {
        let found = found(
            &[
                ("a.up_proj.weight", &[4, 4]),
                ("a.up_proj.bias", &[4]),
                ("a.norm.weight", &[4]),
                ("model.embed_tokens.weight", &[4, 4]),
                ("lm_head.weight", &[4, 4]),
                ("mlp.gate.weight", &[4, 4]),
                ("conv.weight", &[4, 4, 3, 3]),
                ("deep.weight", &[1, 1, 1, 1, 1, 1]),
            ],
            None,
        );
        for (name, class, support) in [
            ("a.up_proj", "Linear", Support::Yes),
            ("a.up_proj.bias", "Parameter", Support::No(Reason::OpUnsupported)),
            ("a.norm", "Norm", Support::No(Reason::OpUnsupported)),
            ("model.embed_tokens", "Embedding", Support::IfNamed(Reason::EmbeddingNotNamed)),
            ("lm_head", "Linear", Support::IfNamed(Reason::HeadNotNamed)),
            ("mlp.gate", "Linear", Support::IfNamed(Reason::RouterNotNamed)),
            ("conv", "Conv2d", Support::IfNamed(Reason::ConvolutionNotNamed)),
            ("deep", "Parameter", Support::No(Reason::ShapeUnsupported)),
        ] {
            assert_eq!(found[name], (class.to_owned(), support), "{name}");
        }
    }

    #[test]
    fn weights_that_cannot_be_quantized_have_a_reason() {
        let found = found(
            &[
                ("int.weight", &[4, 4]),
                ("empty.weight", &[0, 4]),
                ("done.weight", &[4, 4]),
                ("done.weight_scale", &[4, 1]),
            ],
            None,
        );
        let reason = |name: &str| found[name].1;
        assert_eq!(reason("int"), Support::No(Reason::DtypeUnsupported));
        assert_eq!(reason("empty"), Support::No(Reason::Empty));
        assert_eq!(reason("done"), Support::No(Reason::AlreadyQuantized));
    }

    #[test]
    fn a_conv1d_of_gpt2_is_the_wrong_way_round_for_a_linear() {
        let tensors: [(&str, &[usize]); 2] = [("h.0.attn.c_attn.weight", &[4, 12]), ("h.0.other.weight", &[4, 4])];
        let support = |model_type| found(&tensors, model_type)["h.0.attn.c_attn"].1;
        assert_eq!(support(Some("gpt2")), Support::No(Reason::Transposed));
        assert_eq!(support(Some("llama")), Support::Yes);
    }
}
