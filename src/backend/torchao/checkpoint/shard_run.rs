//! [`LocalShardRun`]: quantizing some shards of a checkpoint into a folder.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde_json::json;

use super::{journal::Journal, opened::OpenedCheckpoint, shard_layout::ShardLayout};
use crate::{
    backend::{
        BackendError, RunInputs, ShardPart, ShardRun,
        layouts::Entry,
        weights::{Buffers, Sink, Stream, Unchanged, Weight},
    },
    control::{Control, Phase, PhaseMeter},
    model::safetensors::ShardWriter,
    quant::ErrorBits,
};

impl Sink for ShardWriter {
    fn write(&self, tensor: &str, offset: u64, bytes: &[u8]) -> Result<(), BackendError> {
        Ok(ShardWriter::write(self, tensor, offset, bytes)?)
    }
}

/// What the shards of one run share.
pub(super) struct LocalShardRun<'a> {
    opened: &'a OpenedCheckpoint,
    entries: Vec<Entry<'a>>,
    metadata: BTreeMap<String, String>,
    journal: Journal,
    buffers: Buffers<'a>,
    meter: PhaseMeter<'a>,
    out: PathBuf,
}

impl<'a> LocalShardRun<'a> {
    /// Gets ready to write these shards into `out`, where an earlier run's journal says which of them are done.
    pub(super) fn new(
        opened: &'a OpenedCheckpoint,
        shards: Vec<usize>,
        inputs: &'a RunInputs,
        out: &Path,
        control: &'a Control<'_>,
    ) -> Result<Self, BackendError> {
        let entries = opened.entries();
        let bytes =
            |at: &usize| entries[opened.range(*at)].iter().map(|entry| entry.tensor.bytes() as u64).sum::<u64>();
        let meter = control.phase(Phase::Quantizing, shards.iter().map(bytes).sum(), "bytes");
        let (plan, weights) = (&opened.resolved.plan, format!("{:?}", opened.weights));
        let plan = json!({"layout": opened.layout.name, "plan": plan, "weights": weights});
        Ok(LocalShardRun {
            metadata: opened.layout.form.metadata(&entries),
            journal: Journal::open(out, &plan.to_string())?,
            buffers: Buffers::new(&inputs.memory),
            out: out.to_owned(),
            opened,
            entries,
            meter,
        })
    }
}

impl ShardRun for LocalShardRun<'_> {
    /// Writes one shard, unless an earlier run has.
    fn shard(&self, at: usize) -> Result<ShardPart, BackendError> {
        let LocalShardRun { opened, entries, journal, .. } = self;
        let (shard, range, name) = (&opened.checkpoint.shards[at], opened.range(at), opened.new_name(at));
        let source = opened.checkpoint.folder.join(&shard.file_name);
        let part = |file_bytes, errors: &[_]| ShardPart {
            name: name.clone(),
            source: shard.file_name.clone(),
            file_bytes,
            errors: errors.iter().map(ErrorBits::from).collect(),
        };
        if let Some((file_bytes, errors)) = journal.finished(&name, &source) {
            self.meter.advance(entries[range].iter().map(|entry| entry.tensor.bytes() as u64).sum())?;
            return Ok(part(file_bytes, &errors));
        }
        let mut metadata: BTreeMap<String, String> =
            shard.metadata.clone().into_iter().chain(self.metadata.clone()).collect();
        // As safetensors' own save_model does: a name that is not stored points to the one that is.
        for at in range.clone() {
            if let Some(&original) = opened.ties.get(&at) {
                metadata.insert(entries[at].tensor.name.clone(), entries[original].tensor.name.clone());
            }
        }
        let layout = ShardLayout::new(opened, entries, at)?;
        let writer = ShardWriter::create(&self.out.join(&name), layout.tensors, &metadata)?;
        let mut weights = Vec::new();
        let mut unchanged = Vec::new();
        let mut encoded = layout.weights.iter();
        for entry in opened.stored(entries, range) {
            let tensor = entry.tensor;
            let read = Box::new(|bytes| shard.read(tensor, bytes));
            match entry.weight.and_then(|scheme| Some((scheme, encoded.next()?))) {
                Some((scheme, encoded)) => {
                    weights.push(Weight { name: &tensor.name, scheme, encoded, given: None, read })
                }
                None => unchanged.push(Unchanged { name: &tensor.name, bytes: tensor.bytes(), read }),
            }
        }
        let errors = Stream::new(&writer, &self.buffers, &self.meter).run(&weights, &unchanged)?;
        let file_bytes = writer.finish()?;
        journal.finish(&name, &source, file_bytes, &errors)?;
        Ok(part(file_bytes, &errors))
    }

    fn close(self: Box<Self>) -> Result<(), BackendError> {
        self.journal.close()
    }
}
