//! Carrying a model to a later version of ONNX's operator set.
//!
//! From version 6 on. Most operators only gained types or attributes with compatible defaults; [`ADAPTERS`] lists those whose
//! meaning or form changed, each with the version that changed it and what is to be done. Functions of the model and other
//! domains are left alone.

mod adapters;

use self::adapters::Patch;
use super::pass::{Pass, PassChanges, PassOptions};
use crate::model::onnx::{
    Graph, Model, Names, OnnxError,
    node::{is_own_domain, node_name},
    proto::{GraphProto, TensorProto},
};

/// The pass.
pub(super) const PASS: Pass = Pass { name: "upgrade", run };

fn run(model: &mut Model, options: &PassOptions, changes: &mut PassChanges) -> Result<(), OnnxError> {
    changes.upgraded = upgrade(model, options.opset)?;
    Ok(())
}

/// The oldest version that the table starts from.
const OLDEST: i64 = 6;

/// Changes a node, or says why it cannot.
type Adapter = fn(&mut Patch<'_>) -> Result<(), &'static str>;

/// Operator, the version that changed it, and what to do. Sorted by version: a node goes through all that concern it.
static ADAPTERS: [(&str, i64, Adapter); 51] = [
    ("Add", 7, adapters::broadcast_as_numpy),
    ("And", 7, adapters::broadcast_as_numpy),
    ("Div", 7, adapters::broadcast_as_numpy),
    ("Equal", 7, adapters::broadcast_as_numpy),
    ("Greater", 7, adapters::broadcast_as_numpy),
    ("Less", 7, adapters::broadcast_as_numpy),
    ("Mul", 7, adapters::broadcast_as_numpy),
    ("Or", 7, adapters::broadcast_as_numpy),
    ("Pow", 7, adapters::broadcast_as_numpy),
    ("Sub", 7, adapters::broadcast_as_numpy),
    ("Xor", 7, adapters::broadcast_as_numpy),
    ("BatchNormalization", 7, adapters::inference_only),
    ("Dropout", 7, adapters::inference_only),
    ("Gemm", 7, adapters::broadcast_as_numpy),
    ("Upsample", 7, adapters::changed),
    ("BatchNormalization", 9, adapters::spatial_only),
    ("Scan", 9, adapters::changed),
    ("Upsample", 9, adapters::upsample_scales_to_input),
    ("Dropout", 10, adapters::no_mask),
    ("Slice", 10, adapters::slice_to_inputs),
    ("TopK", 10, adapters::count_to_input),
    ("Upsample", 10, adapters::upsample_to_resize),
    ("Clip", 11, adapters::bounds_to_inputs),
    ("Pad", 11, adapters::pads_to_inputs),
    ("Resize", 11, adapters::resize_as_before),
    ("Scatter", 11, adapters::scatter_elements),
    ("Dropout", 12, adapters::no_ratio),
    ("Hardmax", 13, adapters::one_axis),
    ("LogSoftmax", 13, adapters::one_axis),
    ("ReduceSum", 13, adapters::axes_to_input),
    ("Softmax", 13, adapters::one_axis),
    ("Split", 13, adapters::sizes_to_input),
    ("Squeeze", 13, adapters::axes_to_input),
    ("Unsqueeze", 13, adapters::axes_to_input),
    ("BatchNormalization", 14, adapters::one_output),
    ("RoiAlign", 16, adapters::roi_align),
    ("ReduceL1", 18, adapters::axes_to_input),
    ("ReduceL2", 18, adapters::axes_to_input),
    ("ReduceLogSum", 18, adapters::axes_to_input),
    ("ReduceLogSumExp", 18, adapters::axes_to_input),
    ("ReduceMax", 18, adapters::axes_to_input),
    ("ReduceMean", 18, adapters::axes_to_input),
    ("ReduceMin", 18, adapters::axes_to_input),
    ("ReduceProd", 18, adapters::axes_to_input),
    ("ReduceSumSquare", 18, adapters::axes_to_input),
    ("Resize", 18, adapters::resize_axes),
    ("Split", 18, adapters::count_outputs),
    ("AveragePool", 19, adapters::ceiling_left_out),
    ("DFT", 20, adapters::changed),
    ("GridSample", 20, adapters::grid_sample),
    ("GroupNormalization", 21, adapters::changed),
];

/// Carries the model to version `needed`, if it is older. What was changed: node name and operator.
pub fn upgrade(model: &mut Model, needed: i64) -> Result<Vec<(String, String)>, OnnxError> {
    let found = model.opset();
    if found >= needed {
        return Ok(Vec::new());
    }
    if found < OLDEST {
        return Err(OnnxError::Opset { found, needed: OLDEST });
    }
    let (mut graph, mut names) = (model.graph().to_proto(), model.graph().names().clone());
    let (mut changed, mut constants) = (Vec::new(), Vec::new());
    adapt(&mut graph, (found, needed), &mut names, &mut changed, &mut constants)?;
    graph.initializer.extend(constants);
    *model.graph_mut() = Graph::new(graph)?;
    model.state_opset(needed);
    Ok(changed)
}

fn adapt(
    graph: &mut GraphProto,
    (found, needed): (i64, i64),
    names: &mut Names,
    changed: &mut Vec<(String, String)>,
    constants: &mut Vec<TensorProto>,
) -> Result<(), OnnxError> {
    let mut nodes = Vec::with_capacity(graph.node.len());
    for mut node in std::mem::take(&mut graph.node) {
        for attribute in &mut node.attribute {
            for inner in attribute.g.as_option_mut().into_iter().chain(&mut attribute.graphs) {
                adapt(inner, (found, needed), names, changed, constants)?;
            }
        }
        if !is_own_domain(node.domain.as_deref()) {
            nodes.push(node);
            continue;
        }
        let before = node.clone();
        let mut patch = Patch { node, names, constants, ahead: Vec::new(), behind: Vec::new() };
        for (op_type, version, adapter) in &ADAPTERS {
            if patch.node.op_type.as_deref() == Some(op_type) && (found < *version && *version <= needed) {
                adapter(&mut patch).map_err(|reason| OnnxError::Upgrade {
                    node: node_name(&before),
                    op_type: before.op_type.clone().unwrap_or_default(),
                    found,
                    needed,
                    reason,
                })?;
            }
        }
        let Patch { node, ahead, behind, .. } = patch;
        if node != before {
            changed.push((node_name(&before), before.op_type.unwrap_or_default()));
        }
        nodes.extend(ahead.into_iter().chain([node]).chain(behind));
    }
    graph.node = nodes;
    Ok(())
}
