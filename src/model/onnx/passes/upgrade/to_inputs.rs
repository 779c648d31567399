//! Attributes that became inputs.

use super::patch::{Adapted, Patch};

/// In version 9 the attribute `scales` became the second input.
pub(super) fn upsample_scales_to_input(patch: &mut Patch<'_>) -> Adapted {
    let scales = patch.take("scales").ok_or("it has no scales")?.floats;
    let input = patch.floats("scales", vec![scales.len() as i64], &scales);
    patch.node.input.truncate(1);
    patch.node.input.push(input);
    Ok(())
}

/// In version 10 the attributes became inputs.
pub(super) fn slice_to_inputs(patch: &mut Patch<'_>) -> Adapted {
    let (Some(starts), Some(ends)) = (patch.take("starts"), patch.take("ends")) else { return Err("it has no bounds") };
    let count = starts.ints.len() as i64;
    let axes = patch.take("axes").map_or_else(|| (0..count).collect(), |axes| axes.ints);
    let inputs = [("starts", starts.ints), ("ends", ends.ints), ("axes", axes)];
    patch.node.input.truncate(1);
    for (name, values) in inputs {
        let input = patch.integers(name, values);
        patch.node.input.push(input);
    }
    Ok(())
}

/// In version 10 the attribute `k` became the second input.
pub(super) fn count_to_input(patch: &mut Patch<'_>) -> Adapted {
    let count = patch.take("k").and_then(|k| k.i).ok_or("it has no k")?;
    let input = patch.integers("k", vec![count]);
    patch.node.input.truncate(1);
    patch.node.input.push(input);
    Ok(())
}

/// In version 11 the bounds became inputs.
pub(super) fn bounds_to_inputs(patch: &mut Patch<'_>) -> Adapted {
    let bounds = ["min", "max"].map(|name| patch.take(name).and_then(|bound| bound.f));
    patch.node.input.truncate(1);
    for (name, bound) in ["min", "max"].into_iter().zip(bounds) {
        let input = bound.map_or_else(String::new, |bound| patch.floats(name, vec![], &[bound]));
        patch.node.input.push(input);
    }
    while patch.node.input.last().is_some_and(String::is_empty) {
        patch.node.input.pop();
    }
    Ok(())
}

/// In version 11 the attributes became inputs.
pub(super) fn pads_to_inputs(patch: &mut Patch<'_>) -> Adapted {
    let pads = patch.take("pads").ok_or("it has no pads")?.ints;
    let value = patch.take("value").and_then(|value| value.f);
    patch.node.input.truncate(1);
    let pads = patch.integers("pads", pads);
    patch.node.input.push(pads);
    if let Some(value) = value.filter(|value| *value != 0.0) {
        let value = patch.floats("value", vec![], &[value]);
        patch.node.input.push(value);
    }
    Ok(())
}

/// The attribute `axes` became the second input: in version 13 or 18, as the table says.
pub(super) fn axes_to_input(patch: &mut Patch<'_>) -> Adapted {
    patch.attribute_to_input("axes");
    Ok(())
}

/// In version 13 the sizes became the second input.
pub(super) fn sizes_to_input(patch: &mut Patch<'_>) -> Adapted {
    patch.attribute_to_input("split");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{super::patch::adapted, *};
    use crate::model::onnx::{
        proto::TensorProto,
        testing::{GraphBuilder, line},
    };

    fn node(op_type: &str) -> GraphBuilder {
        GraphBuilder::new().node(op_type, &["x"], &["y"])
    }

    /// The node as a line, and the integers of each new constant.
    fn integers(builder: GraphBuilder, adapter: fn(&mut Patch<'_>) -> Adapted) -> (String, Vec<Vec<i64>>) {
        let (nodes, constants) = adapted(builder, adapter).unwrap();
        assert!(nodes[0].attribute.is_empty());
        (line(&nodes[0]), constants.into_iter().map(|tensor| tensor.int64_data).collect())
    }

    fn floats(tensor: &TensorProto) -> Vec<f32> {
        tensor.raw_data.as_ref().unwrap().as_chunks::<4>().0.iter().map(|x| f32::from_le_bytes(*x)).collect()
    }

    #[test]
    fn the_scales_of_an_upsample() {
        let builder = node("Upsample").float_list("scales", &[1.0, 2.0]);
        let (nodes, constants) = adapted(builder, upsample_scales_to_input).unwrap();
        assert_eq!(line(&nodes[0]), "Upsample(x, y/scales) -> y");
        assert_eq!((constants[0].dims.as_slice(), floats(&constants[0])), (&[2][..], vec![1.0, 2.0]));
        assert!(adapted(node("Upsample"), upsample_scales_to_input).is_err());
    }

    #[test]
    fn the_bounds_and_axes_of_a_slice() {
        let bounds = || node("Slice").int_list("starts", &[0, 1]).int_list("ends", &[5, 6]);
        let (slice, values) = integers(bounds().int_list("axes", &[2, 3]), slice_to_inputs);
        assert_eq!(slice, "Slice(x, y/starts, y/ends, y/axes) -> y");
        assert_eq!(values, [[0, 1], [5, 6], [2, 3]]);
        assert_eq!(integers(bounds(), slice_to_inputs).1[2], [0, 1]);
        assert!(adapted(node("Slice").int_list("starts", &[0]), slice_to_inputs).is_err());
    }

    #[test]
    fn the_count_of_a_top_k() {
        let (top, values) = integers(node("TopK").int("k", 3), count_to_input);
        assert_eq!((top.as_str(), values), ("TopK(x, y/k) -> y", vec![vec![3]]));
        assert!(adapted(node("TopK"), count_to_input).is_err());
    }

    #[test]
    fn the_bounds_of_a_clip_of_which_either_may_be_missing() {
        let clip = |builder| {
            let (nodes, constants) = adapted(builder, bounds_to_inputs).unwrap();
            (line(&nodes[0]), constants.iter().flat_map(floats).collect::<Vec<_>>())
        };
        assert_eq!(clip(node("Clip")), ("Clip(x) -> y".into(), vec![]));
        assert_eq!(clip(node("Clip").float("min", 0.0)), ("Clip(x, y/min) -> y".into(), vec![0.0]));
        assert_eq!(clip(node("Clip").float("max", 6.0)), ("Clip(x, , y/max) -> y".into(), vec![6.0]));
        let both = node("Clip").float("max", 6.0).float("min", -1.0);
        assert_eq!(clip(both), ("Clip(x, y/min, y/max) -> y".into(), vec![-1.0, 6.0]));
    }

    #[test]
    fn the_pads_and_the_value_of_a_pad() {
        let pads = || node("Pad").int_list("pads", &[1, 1]);
        let (nodes, constants) = adapted(pads().float("value", 0.0), pads_to_inputs).unwrap();
        assert_eq!((line(&nodes[0]).as_str(), constants.len()), ("Pad(x, y/pads) -> y", 1));
        let (nodes, constants) = adapted(pads().float("value", 2.0), pads_to_inputs).unwrap();
        assert_eq!(line(&nodes[0]), "Pad(x, y/pads, y/value) -> y");
        assert_eq!((constants[1].dims.len(), floats(&constants[1])), (0, vec![2.0]));
        assert!(adapted(node("Pad"), pads_to_inputs).is_err());
    }

    #[test]
    fn axes_and_sizes_where_there_are_any() {
        let (squeeze, values) = integers(node("Squeeze").int_list("axes", &[-1]), axes_to_input);
        assert_eq!((squeeze.as_str(), values), ("Squeeze(x, y/axes) -> y", vec![vec![-1]]));
        assert_eq!(integers(node("ReduceMean"), axes_to_input), ("ReduceMean(x) -> y".to_owned(), vec![]));
        let (split, values) = integers(node("Split").int_list("split", &[1, 2]), sizes_to_input);
        assert_eq!((split.as_str(), values), ("Split(x, y/split) -> y", vec![vec![1, 2]]));
    }
}
