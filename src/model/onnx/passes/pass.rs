//! What a pass is: [`Pass`].

use std::collections::BTreeSet;

use crate::model::onnx::{Model, OnnxError};

/// A change of a whole graph that keeps what it computes.
#[derive(Clone, Copy, Debug)]
pub struct Pass {
    /// Its name in reports and errors of development.
    pub name: &'static str,
    /// Changes the model as far as it is asked to, and notes what it did.
    pub run: fn(&mut Model, &PassOptions, &mut PassChanges) -> Result<(), OnnxError>,
}

/// What is asked of the passes.
#[derive(Clone, Debug, Default)]
pub struct PassOptions {
    /// The least version of ONNX's operators.
    pub opset: i64,
    /// Whether nodes that move constants about are folded.
    pub fold_constants: bool,
    /// Whether BatchNormalization becomes part of the layer before it.
    pub fold_batch_norms: bool,
    /// Whether constants that a layer's output is multiplied by, or that are added to it, become part of the layer.
    pub fold_factors: bool,
    /// Whether a Pad becomes part of the convolutions behind it.
    pub fold_pads: bool,
    /// Whether shapes that the graph computes become constants where they can.
    pub fold_shapes: bool,
    /// Whether f32 becomes f16.
    pub float16: bool,
    /// Tensors whose values f16 does not hold: the nodes that give or read them stay in f32.
    pub beyond_float16: BTreeSet<String>,
}

/// What the passes changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PassChanges {
    /// Nodes that a later version of the operators wants otherwise: name and operator.
    pub upgraded: Vec<(String, String)>,
    /// Nodes whose result is a constant now, by name.
    pub constants_folded: Vec<String>,
    /// BatchNormalization nodes that are part of the layer before them now, by name.
    pub batch_norms_folded: Vec<String>,
    /// Mul, Div, Add and Sub nodes that are part of the layer before them now, by name.
    pub factors_folded: Vec<String>,
    /// Pad nodes that are part of the convolutions behind them now, by name.
    pub pads_folded: Vec<String>,
    /// Reshape nodes whose shape is a constant now, by name.
    pub shapes_folded: Vec<String>,
    /// Nodes that stay in f32 where the rest became f16: name and operator.
    pub stays_f32: Vec<(String, String)>,
    /// Of these, by name, the ones that could be f16 if it held their values.
    pub beyond_float16: Vec<String>,
    /// The f32 tensors that nodes give or that are fed, by their names before anything became f16.
    pub float_tensors: BTreeSet<String>,
    /// Constants with finite values that f16 does not reach, which became its largest.
    pub clipped_to_float16: Vec<String>,
}
