//! Changing the graph ahead of planning: the operators' version, constants, BatchNormalization.

use std::collections::BTreeSet;

use serde::Serialize;

use super::options::Options;
use crate::{
    backend::BackendError,
    control::Control,
    fault::{WarningCode, few},
    model::onnx::{Model, PassOptions, run_passes},
};

/// What was changed in the graph ahead of planning.
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
    /// Mul, Div, Add and Sub nodes that are part of the layer before them now.
    pub(super) factors_folded: Vec<String>,
    /// Pad nodes that are part of the convolutions behind them now.
    pub(super) pads_folded: Vec<String>,
    /// Reshape nodes whose shape is a constant now.
    pub(super) shapes_folded: Vec<String>,
    /// Nodes that stay in f32 where the rest is carried to f16: name and operator.
    pub(super) high_precision_kept: Vec<(String, String)>,
    /// Constants with values beyond f16's range, which became its largest.
    pub(super) clipped_to_half: Vec<String>,
    /// Of the nodes that stay in f32, the ones of which calibration saw values near the end of f16's range.
    pub(super) beyond_half: Vec<String>,
    /// The tensors of the f32 graph that become f16, or are given by nodes that stay.
    #[serde(skip)]
    pub(super) float_tensors: BTreeSet<String>,
    /// Constants that have a copy for each way of quantizing them.
    pub(super) constants_duplicated: Vec<String>,
}

/// Carries the model to a version of ONNX's operators that can say `opset`, and folds what is asked for. f16 does not hold the
/// values of the tensors in `beyond`.
pub(super) fn prepare(
    model: &mut Model,
    opset: i64,
    options: &Options,
    beyond: BTreeSet<String>,
) -> Result<Preparation, BackendError> {
    let before = model.opset();
    let wanted = PassOptions {
        opset,
        fold_constants: options.fold_constants,
        fold_batch_norms: options.fold_batch_norm,
        fold_factors: options.placement.is_unsigned(),
        fold_pads: options.placement.is_unsigned(),
        fold_shapes: options.placement.is_unsigned(),
        float16: options.to_half,
        beyond_float16: beyond,
    };
    let changes = run_passes(model, &wanted)?;
    Ok(Preparation {
        opset: (before, model.opset()),
        upgraded: changes.upgraded,
        constants_folded: changes.constants_folded,
        batch_norms_folded: changes.batch_norms_folded,
        factors_folded: changes.factors_folded,
        pads_folded: changes.pads_folded,
        shapes_folded: changes.shapes_folded,
        high_precision_kept: changes.stays_f32,
        clipped_to_half: changes.clipped_to_float16,
        beyond_half: changes.beyond_float16,
        float_tensors: changes.float_tensors,
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
            let nodes = if nodes.is_empty() { "no node had to change".to_owned() } else { few(&nodes) };
            control.warn(WarningCode::OpsetUpgraded, format!("carried from opset {before} to {after}: {nodes}"));
        }
        if !self.clipped_to_half.is_empty() {
            let names = few(&self.clipped_to_half);
            control.warn(
                WarningCode::ClippedToHalf,
                format!("constants beyond f16's range became its largest number: {names}"),
            );
        }
        if !self.beyond_half.is_empty() {
            let names = few(&self.beyond_half);
            let message =
                format!("values near an end of f16's range, or below it, have these nodes stay in f32: {names}");
            control.warn(WarningCode::KeptInFloat32, message);
        }
    }
}
