//! Changing the graph ahead of planning: the operators' version, constants, BatchNormalization.

use serde::Serialize;

use super::options::Options;
use crate::{
    backend::BackendError,
    control::Control,
    fault::WarningCode,
    model::onnx::{Model, fold_batch_norms, fold_constants, to_half, upgrade},
};

/// What was changed.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Preparation {
    /// The version of ONNX's operators before and after.
    pub(super) opset: (i64, i64),
    /// Nodes that the later version wants otherwise: name and operator.
    pub(super) upgraded: Vec<(String, String)>,
    /// Nodes whose result is a constant now.
    pub(super) constants_folded: Vec<String>,
    /// BatchNormalization nodes that are part of the layer before them now.
    pub(super) batch_norms_folded: Vec<String>,
    /// Nodes that stay in f32 where the rest is carried to f16: name and operator.
    pub(super) high_precision_kept: Vec<(String, String)>,
    /// Constants with values beyond f16's range, which became its largest.
    pub(super) clipped_to_half: Vec<String>,
    /// Constants that have a copy for each way of quantizing them.
    pub(super) constants_duplicated: Vec<String>,
}

/// Carries the model to a version of ONNX's operators that can say `opset`, and folds what is asked for.
pub(super) fn prepare(model: &mut Model, opset: i64, options: &Options) -> Result<Preparation, BackendError> {
    let before = model.opset();
    let upgraded = upgrade(model, opset)?;
    let constants_folded = if options.fold_constants { fold_constants(model.graph_mut()) } else { Vec::new() };
    let fold_norms = options.fold_batch_norm;
    let batch_norms_folded = if fold_norms { fold_batch_norms(model.graph_mut())? } else { Vec::new() };
    let halved = options.to_half.then(|| to_half(model.graph_mut())).transpose()?.unwrap_or_default();
    Ok(Preparation {
        opset: (before, model.opset()),
        upgraded,
        constants_folded,
        batch_norms_folded,
        high_precision_kept: halved.kept,
        clipped_to_half: halved.clipped,
        ..Preparation::default()
    })
}

impl Preparation {
    /// Tells what was changed.
    pub(super) fn tell(&self, control: &Control<'_>) {
        let (before, after) = self.opset;
        if before != after {
            let nodes: Vec<String> =
                self.upgraded.iter().map(|(name, op_type)| format!("{name} ({op_type})")).collect();
            let nodes = if nodes.is_empty() { "no node had to change".to_owned() } else { nodes.join(", ") };
            control.warn(WarningCode::OpsetUpgraded, format!("carried from opset {before} to {after}: {nodes}"));
        }
        if !self.clipped_to_half.is_empty() {
            let names = self.clipped_to_half.join(", ");
            control.warn(
                WarningCode::ClippedToHalf,
                format!("constants beyond f16's range became its largest number: {names}"),
            );
        }
    }
}
