//! What has to be done to a node for its meaning to stay when the operator set's version changes.

use crate::model::onnx::{
    Bytes, Names, attribute_int, int_attribute, new_node,
    proto::{AttributeProto, NodeProto, TensorProto, attribute_type, data_type},
};

/// A node on its way to a later version, and what has to come with it.
pub(super) struct Patch<'a> {
    /// The node.
    pub(super) node: NodeProto,
    /// Names in use.
    pub(super) names: &'a mut Names,
    /// New constants of the main graph.
    pub(super) constants: &'a mut Vec<TensorProto>,
    /// New nodes right before it.
    pub(super) ahead: Vec<NodeProto>,
    /// New nodes right behind it.
    pub(super) behind: Vec<NodeProto>,
}

type Adapted = Result<(), &'static str>;

impl Patch<'_> {
    fn take(&mut self, name: &str) -> Option<AttributeProto> {
        let at = self.node.attribute.iter().position(|a| a.name.as_deref() == Some(name))?;
        Some(self.node.attribute.remove(at))
    }

    fn has(&self, name: &str) -> bool {
        self.node.attribute.iter().any(|a| a.name.as_deref() == Some(name))
    }

    fn output(&self) -> String {
        self.node.output.first().cloned().unwrap_or_default()
    }

    /// A new constant, named after the node's output.
    fn constant(&mut self, suffix: &str, tensor: TensorProto) -> String {
        let name = self.names.claim(&format!("{}/{suffix}", self.output()));
        self.constants.push(TensorProto { name: Some(name.clone()), ..tensor });
        name
    }

    fn integers(&mut self, suffix: &str, values: Vec<i64>) -> String {
        let tensor = TensorProto {
            dims: vec![values.len() as i64],
            data_type: Some(data_type::INT64),
            int64_data: values,
            ..Default::default()
        };
        self.constant(suffix, tensor)
    }

    fn floats(&mut self, suffix: &str, dims: Vec<i64>, values: &[f32]) -> String {
        let raw: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        let raw_data = Some(Bytes::from(raw));
        self.constant(suffix, TensorProto { dims, data_type: Some(data_type::FLOAT), raw_data, ..Default::default() })
    }

    fn attribute_to_input(&mut self, name: &str) {
        if let Some(attribute) = self.take(name) {
            let input = self.integers(name, attribute.ints);
            self.node.input.truncate(1);
            self.node.input.push(input);
        }
    }
}

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

/// In version 9 the attribute `scales` became the second input.
pub(super) fn upsample_scales_to_input(patch: &mut Patch<'_>) -> Adapted {
    let scales = patch.take("scales").ok_or("it has no scales")?.floats;
    let input = patch.floats("scales", vec![scales.len() as i64], &scales);
    patch.node.input.truncate(1);
    patch.node.input.push(input);
    Ok(())
}

/// Since version 10 the operator is a case of Resize.
pub(super) fn upsample_to_resize(patch: &mut Patch<'_>) -> Adapted {
    patch.node.op_type = Some("Resize".to_owned());
    Ok(())
}

/// In version 11 Resize got a region and choices of how positions are meant; what it meant before is one of each.
pub(super) fn resize_as_before(patch: &mut Patch<'_>) -> Adapted {
    if patch.node.input.len() == 2 {
        patch.node.input.insert(1, String::new());
    }
    patch.node.attribute.push(text("coordinate_transformation_mode", "asymmetric"));
    patch.node.attribute.push(text("nearest_mode", "floor"));
    Ok(())
}

/// Version 18 turned down a region without the mode that uses it.
pub(super) fn resize_axes(patch: &mut Patch<'_>) -> Adapted {
    let mode = patch.node.attribute.iter().find(|a| a.name.as_deref() == Some("coordinate_transformation_mode"));
    let crops = mode.is_some_and(|mode| mode.s.as_deref() == Some(b"tf_crop_and_resize"));
    if let Some(region) = patch.node.input.get_mut(1).filter(|_| !crops) {
        region.clear();
    }
    Ok(())
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

/// In version 11 the operator got another name.
pub(super) fn scatter_elements(patch: &mut Patch<'_>) -> Adapted {
    patch.node.op_type = Some("ScatterElements".to_owned());
    Ok(())
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

/// In version 14 the outputs of training became an attribute's business.
pub(super) fn one_output(patch: &mut Patch<'_>) -> Adapted {
    if patch.node.output.iter().skip(1).all(String::is_empty) { Ok(()) } else { Err("it has outputs for training") }
}

/// In version 16 the default became `half_pixel`.
pub(super) fn roi_align(patch: &mut Patch<'_>) -> Adapted {
    const MODE: &str = "coordinate_transformation_mode";
    if !patch.has(MODE) {
        patch.node.attribute.push(text(MODE, "output_half_pixel"));
    }
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

/// In version 20 the modes got other names.
pub(super) fn grid_sample(patch: &mut Patch<'_>) -> Adapted {
    let renamed = |old: &[u8]| match old {
        b"bilinear" => Some("linear"),
        b"bicubic" => Some("cubic"),
        _ => None,
    };
    match patch.node.attribute.iter_mut().find(|a| a.name.as_deref() == Some("mode")) {
        Some(mode) => {
            if let Some(new) = mode.s.as_deref().and_then(renamed) {
                *mode = text("mode", new);
            }
        }
        None => patch.node.attribute.push(text("mode", "linear")),
    }
    Ok(())
}

fn text(name: &str, value: &str) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_owned()),
        s: Some(value.as_bytes().to_vec().into()),
        r#type: Some(attribute_type::STRING),
        ..Default::default()
    }
}
