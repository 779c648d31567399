//! Changing the graph ahead of planning: the operators' version, constants, BatchNormalization.

use serde::Serialize;

use crate::{
    backend::BackendError,
    control::Control,
    model::onnx::{Model, fold_batch_norms, fold_constants, upgrade},
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
    /// Constants that have a copy for each way of quantizing them.
    pub(super) constants_duplicated: Vec<String>,
}

/// Carries the model to a version of ONNX's operators that can say `opset`, and folds what is asked for.
pub(super) fn prepare(model: &mut Model, opset: i64, fold_norms: bool) -> Result<Preparation, BackendError> {
    let before = model.opset();
    let upgraded = upgrade(model, opset)?;
    let constants_folded = fold_constants(model.graph_mut())?;
    let batch_norms_folded = if fold_norms { fold_batch_norms(model.graph_mut())? } else { Vec::new() };
    Ok(Preparation {
        opset: (before, model.opset()),
        upgraded,
        constants_folded,
        batch_norms_folded,
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
            control.warn("opset_upgraded", format!("carried from opset {before} to {after}: {nodes}"));
        }
    }
}
