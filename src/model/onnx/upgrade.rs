//! Carrying a model to a later version of ONNX's operator set.
//!
//! From version 13 on. Most operators only gained types or attributes with compatible defaults; [`ADAPTERS`] lists those
//! whose meaning or form changed, each with the version that changed it and what is to be done. Functions of the model and
//! other domains are left alone.

use super::{
    Model, OnnxError,
    node::{is_own_domain, node_name},
    proto::{AttributeProto, GraphProto, NodeProto, TensorProto, attribute_type, data_type},
};

/// The oldest version that the table starts from.
const OLDEST: i64 = 13;

/// Changes a node, or says why it cannot; may add constants.
type Adapter = fn(&mut NodeProto, &mut Vec<TensorProto>) -> Result<(), &'static str>;

/// Operator, the version that changed it, and what to do. Sorted by version.
static ADAPTERS: [(&str, i64, Adapter); 15] = [
    ("BatchNormalization", 14, one_output),
    ("RoiAlign", 16, roi_align),
    ("ReduceL1", 18, axes_to_input),
    ("ReduceL2", 18, axes_to_input),
    ("ReduceLogSum", 18, axes_to_input),
    ("ReduceLogSumExp", 18, axes_to_input),
    ("ReduceMax", 18, axes_to_input),
    ("ReduceMean", 18, axes_to_input),
    ("ReduceMin", 18, axes_to_input),
    ("ReduceProd", 18, axes_to_input),
    ("ReduceSumSquare", 18, axes_to_input),
    ("Split", 18, count_outputs),
    ("DFT", 20, changed),
    ("GridSample", 20, grid_sample),
    ("GroupNormalization", 21, changed),
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
    let (mut changed, mut constants) = (Vec::new(), Vec::new());
    adapt(model.graph_mut(), (found, needed), &mut changed, &mut constants)?;
    let (proto, opset) = model.proto_mut();
    proto.graph.get_or_insert_default().initializer.extend(constants);
    for import in &mut proto.opset_import {
        if is_own_domain(import.domain.as_deref()) {
            import.version = Some(needed);
        }
    }
    *opset = needed;
    let least_ir = match needed {
        21.. => 10,
        19.. => 9,
        15.. => 8,
        _ => 7,
    };
    proto.ir_version = proto.ir_version.max(Some(least_ir));
    Ok(changed)
}

fn adapt(
    graph: &mut GraphProto,
    (found, needed): (i64, i64),
    changed: &mut Vec<(String, String)>,
    constants: &mut Vec<TensorProto>,
) -> Result<(), OnnxError> {
    for node in &mut graph.node {
        for attribute in &mut node.attribute {
            for inner in attribute.g.as_option_mut().into_iter().chain(&mut attribute.graphs) {
                adapt(inner, (found, needed), changed, constants)?;
            }
        }
        let own = is_own_domain(node.domain.as_deref());
        let op_type = node.op_type.clone().unwrap_or_default();
        for (_, _, adapter) in
            ADAPTERS.iter().filter(|row| own && row.0 == op_type && (found < row.1 && row.1 <= needed))
        {
            let before = node.clone();
            adapter(node, constants).map_err(|reason| OnnxError::Upgrade {
                node: node_name(&before),
                op_type: op_type.clone(),
                found,
                needed,
                reason,
            })?;
            if *node != before {
                changed.push((node_name(&before), op_type.clone()));
            }
        }
    }
    Ok(())
}

/// In version 14 the outputs of training became an attribute's business.
fn one_output(node: &mut NodeProto, _: &mut Vec<TensorProto>) -> Result<(), &'static str> {
    if node.output.iter().skip(1).all(String::is_empty) { Ok(()) } else { Err("it has outputs for training") }
}

/// In version 16 the default became `half_pixel`.
fn roi_align(node: &mut NodeProto, _: &mut Vec<TensorProto>) -> Result<(), &'static str> {
    const MODE: &str = "coordinate_transformation_mode";
    if !node.attribute.iter().any(|a| a.name.as_deref() == Some(MODE)) {
        node.attribute.push(text(MODE, "output_half_pixel"));
    }
    Ok(())
}

/// In version 18 the attribute `axes` became the second input.
fn axes_to_input(node: &mut NodeProto, constants: &mut Vec<TensorProto>) -> Result<(), &'static str> {
    let Some(at) = node.attribute.iter().position(|a| a.name.as_deref() == Some("axes")) else { return Ok(()) };
    let axes = node.attribute.remove(at).ints;
    let output = node.output.first().cloned().unwrap_or_default();
    let name = format!("{output}/axes");
    constants.push(TensorProto {
        name: Some(name.clone()),
        dims: vec![axes.len() as i64],
        data_type: Some(data_type::INT64),
        int64_data: axes,
        ..Default::default()
    });
    node.input.truncate(1);
    node.input.push(name);
    Ok(())
}

/// In version 18 an equal split has to say into how many.
fn count_outputs(node: &mut NodeProto, _: &mut Vec<TensorProto>) -> Result<(), &'static str> {
    let sizes_given = node.input.get(1).is_some_and(|name| !name.is_empty());
    if !sizes_given {
        node.attribute.push(super::attribute_int("num_outputs", node.output.len() as i64));
    }
    Ok(())
}

/// In version 20 the modes got other names.
fn grid_sample(node: &mut NodeProto, _: &mut Vec<TensorProto>) -> Result<(), &'static str> {
    let renamed = |old: &[u8]| match old {
        b"bilinear" => Some("linear"),
        b"bicubic" => Some("cubic"),
        _ => None,
    };
    match node.attribute.iter_mut().find(|a| a.name.as_deref() == Some("mode")) {
        Some(mode) => {
            if let Some(new) = mode.s.as_deref().and_then(renamed) {
                *mode = text("mode", new);
            }
        }
        None => node.attribute.push(text("mode", "linear")),
    }
    Ok(())
}

fn changed(_: &mut NodeProto, _: &mut Vec<TensorProto>) -> Result<(), &'static str> {
    Err("its meaning changed, and there is no adapter for it yet")
}

fn text(name: &str, value: &str) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_owned()),
        s: Some(value.as_bytes().to_vec().into()),
        r#type: Some(attribute_type::STRING),
        ..Default::default()
    }
}
