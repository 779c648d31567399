//! What there is besides the shards: the index, and what each layer has come to.

use std::path::Path;

use serde_json::json;

use super::{
    inventory,
    opened::OpenedCheckpoint,
    shard_layout::ShardLayout,
    side_files::{SideFiles, write_json},
};
use crate::{
    backend::{BackendError, Outcome, ShardPart, layouts::Entry},
    control::Control,
    quant::ErrorStats,
    report::{LayerReport, WeightReport},
    spec::Reason,
};

/// The name of the index.
const INDEX: &str = "model.safetensors.index.json";

/// Writes index, configuration and side files, and tells of each layer what its shard measured.
pub(super) fn assemble(
    opened: &OpenedCheckpoint,
    parts: &[ShardPart],
    out: &Path,
    control: &Control<'_>,
) -> Result<Outcome, BackendError> {
    let entries = opened.entries();
    let mut outcome = Outcome::default();
    let (mut weight_map, mut total_size) = (serde_json::Map::new(), 0);
    for (at, (shard, part)) in opened.checkpoint.shards.iter().zip(parts).enumerate() {
        let layout = ShardLayout::new(opened, &entries, at)?;
        weight_map.extend(layout.tensors.iter().map(|tensor| (tensor.name.clone(), json!(part.name))));
        total_size += layout.bytes();
        let measured = part.errors.iter().zip(&layout.weights);
        let measured = measured.map(|(error, encoded)| (ErrorStats::from(error), encoded.bytes())).collect();
        report(&entries[opened.range(at)], measured, &mut outcome.layers);
        outcome.bytes_before += shard.file_bytes();
        outcome.bytes_after += part.file_bytes;
        outcome.files.push(part.name.clone());
    }
    if opened.checkpoint.shards.len() > 1 {
        weight_map.sort_keys();
        let index = json!({"metadata": {"total_size": total_size}, "weight_map": weight_map});
        write_json(out, INDEX, &index)?;
        outcome.files.push(INDEX.to_owned());
    }
    outcome.files.extend(SideFiles { opened, entries: &entries, out, control }.write()?);
    Ok(outcome)
}

/// Adds the layers of a shard that hold a weight, or whose weight is stored under another name. `measured` has what each
/// weight cost and its bytes.
fn report(entries: &[Entry<'_>], measured: Vec<(ErrorStats, u64)>, layers: &mut Vec<LayerReport>) {
    let mut measured = measured.into_iter();
    for entry in entries {
        let weights = entry.weight.and_then(|weight| Some((weight, measured.next()?)));
        let weights = weights.map(|(weight, (error, after))| {
            let sizes = (entry.tensor.bytes() as u64, after);
            WeightReport::new(&entry.tensor.name, &weight.scheme, &error, sizes)
        });
        if weights.is_some() || inventory::holds_weight(&entry.plan.op_type) || entry.plan.reason == Reason::Tied {
            layers.push(LayerReport { weights, ..LayerReport::planned(entry.plan) });
        }
    }
}
