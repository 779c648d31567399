//! Carrying a model to a later version of ONNX's operator set.
//!
//! From version 6 on. Most operators only gained types or attributes with compatible defaults; [`ADAPTERS`] lists those whose
//! meaning or form changed, each with the version that changed it and what is to be done. Functions of the model and other
//! domains are left alone.

mod meaning;
mod modes;
mod patch;
mod to_inputs;

use self::patch::{Adapted, Patch};
use super::pass::{Pass, PassChanges, PassOptions};
use crate::model::onnx::{
    Graph, Model, Names, OnnxError,
    node::{is_own_domain, node_name},
    proto::{GraphProto, TensorProto},
};

pub(super) const PASS: Pass = Pass { name: "upgrade", run };

fn run(model: &mut Model, options: &PassOptions, changes: &mut PassChanges) -> Result<(), OnnxError> {
    changes.upgraded = upgrade(model, options.opset)?;
    Ok(())
}

/// The oldest version that the table starts from.
const OLDEST: i64 = 6;

/// Changes a node, or says why it cannot.
type Adapter = fn(&mut Patch<'_>) -> Adapted;

/// Operator, the version that changed it, and what to do. Sorted by version: a node goes through all that concern it.
static ADAPTERS: [(&str, i64, Adapter); 51] = [
    ("Add", 7, meaning::broadcast_as_numpy),
    ("And", 7, meaning::broadcast_as_numpy),
    ("Div", 7, meaning::broadcast_as_numpy),
    ("Equal", 7, meaning::broadcast_as_numpy),
    ("Greater", 7, meaning::broadcast_as_numpy),
    ("Less", 7, meaning::broadcast_as_numpy),
    ("Mul", 7, meaning::broadcast_as_numpy),
    ("Or", 7, meaning::broadcast_as_numpy),
    ("Pow", 7, meaning::broadcast_as_numpy),
    ("Sub", 7, meaning::broadcast_as_numpy),
    ("Xor", 7, meaning::broadcast_as_numpy),
    ("BatchNormalization", 7, meaning::inference_only),
    ("Dropout", 7, meaning::inference_only),
    ("Gemm", 7, meaning::broadcast_as_numpy),
    ("Upsample", 7, meaning::changed),
    ("BatchNormalization", 9, meaning::spatial_only),
    ("Scan", 9, meaning::changed),
    ("Upsample", 9, to_inputs::upsample_scales_to_input),
    ("Dropout", 10, meaning::no_mask),
    ("Slice", 10, to_inputs::slice_to_inputs),
    ("TopK", 10, to_inputs::count_to_input),
    ("Upsample", 10, modes::upsample_to_resize),
    ("Clip", 11, to_inputs::bounds_to_inputs),
    ("Pad", 11, to_inputs::pads_to_inputs),
    ("Resize", 11, modes::resize_as_before),
    ("Scatter", 11, modes::scatter_elements),
    ("Dropout", 12, meaning::no_ratio),
    ("Hardmax", 13, meaning::one_axis),
    ("LogSoftmax", 13, meaning::one_axis),
    ("ReduceSum", 13, to_inputs::axes_to_input),
    ("Softmax", 13, meaning::one_axis),
    ("Split", 13, to_inputs::sizes_to_input),
    ("Squeeze", 13, to_inputs::axes_to_input),
    ("Unsqueeze", 13, to_inputs::axes_to_input),
    ("BatchNormalization", 14, meaning::one_output),
    ("RoiAlign", 16, modes::roi_align),
    ("ReduceL1", 18, to_inputs::axes_to_input),
    ("ReduceL2", 18, to_inputs::axes_to_input),
    ("ReduceLogSum", 18, to_inputs::axes_to_input),
    ("ReduceLogSumExp", 18, to_inputs::axes_to_input),
    ("ReduceMax", 18, to_inputs::axes_to_input),
    ("ReduceMean", 18, to_inputs::axes_to_input),
    ("ReduceMin", 18, to_inputs::axes_to_input),
    ("ReduceProd", 18, to_inputs::axes_to_input),
    ("ReduceSumSquare", 18, to_inputs::axes_to_input),
    ("Resize", 18, modes::resize_axes),
    ("Split", 18, meaning::count_outputs),
    ("AveragePool", 19, meaning::ceiling_left_out),
    ("DFT", 20, meaning::changed),
    ("GridSample", 20, modes::grid_sample),
    ("GroupNormalization", 21, meaning::changed),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::onnx::testing::{GraphBuilder, constants, lines};

    fn x() -> GraphBuilder {
        GraphBuilder::new().input("x", &[1, 4])
    }

    #[test]
    fn adapters_are_sorted_by_version() {
        assert!(ADAPTERS.is_sorted_by_key(|(_, version, _)| *version));
    }

    #[test]
    fn a_node_goes_through_every_version_between() {
        let builder = x().node("Upsample", &["x"], &["y"]).float_list("scales", &[1.0, 2.0]).output("y", &[]);
        let mut model = builder.model(8);
        assert_eq!(upgrade(&mut model, 11).unwrap(), [("y".to_owned(), "Upsample".to_owned())]);
        assert_eq!(lines(model.graph()), ["Resize(x, , y/scales) -> y"]);
        assert_eq!((model.opset(), constants(model.graph())), (11, vec!["y/scales"]));
    }

    #[test]
    fn a_model_that_is_late_enough_is_left_alone_and_one_that_is_too_old_is_refused() {
        let model = |opset| x().node("Softmax", &["x"], &["y"]).output("y", &[]).model(opset);
        let mut late = model(13);
        assert!(upgrade(&mut late, 13).unwrap().is_empty());
        assert_eq!((late.opset(), lines(late.graph()).len()), (13, 1));
        assert!(matches!(upgrade(&mut model(5), 13), Err(OnnxError::Opset { found: 5, needed: 6 })));
    }

    #[test]
    fn branches_are_carried_too_and_other_domains_are_not() {
        let branch = GraphBuilder::new().node("Squeeze", &["x"], &["s"]).int_list("axes", &[0]).output("s", &[]);
        let outer = x().node("If", &["x"], &["y"]).inner("then_branch", branch).output("y", &[]);
        let mut model = outer.node("Squeeze", &["x"], &["z"]).domain("com.example").model(11);
        assert_eq!(upgrade(&mut model, 13).unwrap()[0], ("s".to_owned(), "Squeeze".to_owned()));
        assert_eq!(constants(model.graph()), ["s/axes"]);
        assert_eq!(lines(model.graph())[1], "Squeeze(x) -> z");
    }

    #[test]
    fn a_node_that_cannot_be_carried_is_named() {
        let mut model = x().node("Dropout", &["x"], &["y"]).output("y", &[]).model(6);
        let error = upgrade(&mut model, 13).unwrap_err();
        assert!(matches!(error, OnnxError::Upgrade { node, found: 6, needed: 13, .. } if node == "y"));
    }
}
