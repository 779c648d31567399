//! Operators whose meaning changed: what a node meant is said in the new way, or it is refused.

use super::patch::{Adapted, Patch};
use crate::model::onnx::{attribute_int, int_attribute, new_node};

/// Refuses: the operator changed its meaning, and no adapter says the old one in the new way.
pub(super) fn changed(_: &mut Patch<'_>) -> Adapted {
    Err("its meaning changed, and there is no adapter for it yet")
}

/// In version 7 broadcasting became numpy's; before, an attribute could align the second operand with any axis.
pub(super) fn broadcast_as_numpy(patch: &mut Patch<'_>) -> Adapted {
    let broadcast = patch.take("broadcast").and_then(|flag| flag.i).unwrap_or(0) != 0;
    match patch.take("axis").and_then(|axis| axis.i) {
        Some(axis) if broadcast && axis != -1 => Err("it aligns its second operand with an axis in the middle"),
        _ => Ok(()),
    }
}

/// In version 7 the attribute that told training from inference went.
pub(super) fn inference_only(patch: &mut Patch<'_>) -> Adapted {
    match patch.take("is_test").and_then(|flag| flag.i) {
        Some(1) => Ok(()),
        _ => Err("it is in training mode; export the model for inference"),
    }
}

/// Version 9 normalizes each channel, which was the default of an attribute.
pub(super) fn spatial_only(patch: &mut Patch<'_>) -> Adapted {
    match patch.take("spatial").and_then(|spatial| spatial.i) {
        Some(0) => Err("it normalizes each element, which later versions cannot say"),
        _ => Ok(()),
    }
}

/// In version 10 the mask became boolean.
pub(super) fn no_mask(patch: &mut Patch<'_>) -> Adapted {
    if patch.node.output.get(1).is_some_and(|mask| !mask.is_empty()) {
        return Err("its mask is used, and was not boolean");
    }
    Ok(())
}

/// In version 12 the ratio became an input; outside training it has no effect.
pub(super) fn no_ratio(patch: &mut Patch<'_>) -> Adapted {
    patch.take("ratio");
    Ok(())
}

/// In version 14 the outputs of training became an attribute's business.
pub(super) fn one_output(patch: &mut Patch<'_>) -> Adapted {
    if patch.node.output.iter().skip(1).all(String::is_empty) { Ok(()) } else { Err("it has outputs for training") }
}

/// Before version 13 everything from `axis` (by default 1) on counted as one axis; since then it is that axis alone. Between
/// a Flatten and a Reshape back, the last axis is what was meant.
pub(super) fn one_axis(patch: &mut Patch<'_>) -> Adapted {
    let axis = patch.take("axis").and_then(|axis| axis.i).unwrap_or(1);
    patch.node.attribute.push(attribute_int("axis", -1));
    if axis == -1 {
        return Ok(());
    }
    let (input, output) = (patch.node.input.first().cloned().unwrap_or_default(), patch.output());
    let [shape, flat, result] =
        ["shape", "flat", "result"].map(|suffix| patch.names.claim(&format!("{output}/{suffix}")));
    let mut flatten = new_node("Flatten", "", vec![input.clone()], &flat);
    flatten.attribute.push(attribute_int("axis", axis));
    patch.ahead.extend([new_node("Shape", "", vec![input], &shape), flatten]);
    patch.node.input = vec![flat];
    patch.node.output = vec![result.clone()];
    patch.behind.push(new_node("Reshape", "", vec![result, shape], &output));
    Ok(())
}

/// In version 18 an equal split has to say into how many.
pub(super) fn count_outputs(patch: &mut Patch<'_>) -> Adapted {
    let sizes_given = patch.node.input.get(1).is_some_and(|name| !name.is_empty());
    if !sizes_given {
        patch.node.attribute.push(attribute_int("num_outputs", patch.node.output.len() as i64));
    }
    Ok(())
}

/// In version 19 windows that begin in the padding behind the end are left out under `ceil_mode`, and averages count
/// accordingly.
pub(super) fn ceiling_left_out(patch: &mut Patch<'_>) -> Adapted {
    let (ceiling, counted) = (int_attribute(&patch.node, "ceil_mode"), int_attribute(&patch.node, "count_include_pad"));
    if ceiling.unwrap_or(0) != 0 && counted.unwrap_or(0) != 0 {
        return Err("what it counts under ceil_mode and count_include_pad changed");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{super::patch::adapted, *};
    use crate::model::onnx::testing::{GraphBuilder, line};

    fn node(op_type: &str) -> GraphBuilder {
        GraphBuilder::new().node(op_type, &["x"], &["y"])
    }

    /// Whether the adapter takes the node, and leaves no attribute on it.
    fn plain(builder: GraphBuilder, adapter: fn(&mut Patch<'_>) -> Adapted) -> bool {
        adapted(builder, adapter).is_ok_and(|(nodes, _)| nodes.len() == 1 && nodes[0].attribute.is_empty())
    }

    #[test]
    fn operands_that_numpy_aligns_alike_are_carried() {
        assert!(plain(node("Add"), broadcast_as_numpy));
        assert!(plain(node("Add").int("broadcast", 1), broadcast_as_numpy));
        assert!(plain(node("Add").int("broadcast", 1).int("axis", -1), broadcast_as_numpy));
        assert!(plain(node("Add").int("axis", 1), broadcast_as_numpy));
        assert!(adapted(node("Add").int("broadcast", 1).int("axis", 1), broadcast_as_numpy).is_err());
    }

    #[test]
    fn what_trains_is_refused() {
        assert!(plain(node("Dropout").int("is_test", 1), inference_only));
        assert!(adapted(node("Dropout"), inference_only).is_err());
        assert!(adapted(node("Dropout").int("is_test", 0), inference_only).is_err());
        assert!(plain(node("BatchNormalization"), one_output));
        let training = GraphBuilder::new().node("BatchNormalization", &["x"], &["y", "mean"]);
        assert!(adapted(training, one_output).is_err());
    }

    #[test]
    fn a_normalization_of_each_element_is_refused() {
        assert!(plain(node("BatchNormalization").int("spatial", 1), spatial_only));
        assert!(plain(node("BatchNormalization"), spatial_only));
        assert!(adapted(node("BatchNormalization").int("spatial", 0), spatial_only).is_err());
    }

    #[test]
    fn a_dropout_loses_its_ratio_and_keeps_no_mask() {
        assert!(plain(node("Dropout").float("ratio", 0.5), no_ratio));
        assert!(plain(GraphBuilder::new().node("Dropout", &["x"], &["y", ""]), no_mask));
        assert!(adapted(GraphBuilder::new().node("Dropout", &["x"], &["y", "mask"]), no_mask).is_err());
    }

    #[test]
    fn a_softmax_over_several_axes_stands_between_a_flatten_and_a_reshape() {
        let (nodes, _) = adapted(node("Softmax"), one_axis).unwrap();
        let lines: Vec<String> = nodes.iter().map(line).collect();
        assert_eq!(
            lines,
            [
                "Shape(x) -> y/shape",
                "Flatten(x) -> y/flat",
                "Softmax(y/flat) -> y/result",
                "Reshape(y/result, y/shape) -> y"
            ]
        );
        assert_eq!(int_attribute(&nodes[1], "axis"), Some(1));
        assert_eq!(int_attribute(&nodes[2], "axis"), Some(-1));
    }

    #[test]
    fn a_softmax_over_the_last_axis_stays() {
        let (nodes, _) = adapted(node("Softmax").int("axis", -1), one_axis).unwrap();
        assert_eq!((nodes.len(), int_attribute(&nodes[0], "axis")), (1, Some(-1)));
    }

    #[test]
    fn an_equal_split_says_into_how_many() {
        let split = |inputs: &[&str]| {
            let (nodes, _) = adapted(GraphBuilder::new().node("Split", inputs, &["a", "b"]), count_outputs).unwrap();
            int_attribute(&nodes[0], "num_outputs")
        };
        assert_eq!([split(&["x"]), split(&["x", ""]), split(&["x", "sizes"])], [Some(2), Some(2), None]);
    }

    #[test]
    fn an_average_that_counts_padding_otherwise_now_is_refused() {
        assert!(adapted(node("AveragePool").int("ceil_mode", 1), ceiling_left_out).is_ok());
        assert!(adapted(node("AveragePool").int("count_include_pad", 1), ceiling_left_out).is_ok());
        let both = node("AveragePool").int("ceil_mode", 1).int("count_include_pad", 1);
        assert!(adapted(both, ceiling_left_out).is_err());
    }

    #[test]
    fn what_has_no_adapter_is_refused() {
        assert!(adapted(node("Scan"), changed).is_err());
    }
}
