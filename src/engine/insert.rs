//! Putting our operators into a graph.

use super::{
    observer,
    operator::{DOMAIN, SLOT},
    transform,
};
use crate::{
    model::onnx::{
        Model, Use, attribute_int, new_node,
        proto::{NodeProto, data_type},
    },
    numeric::FloatFormat,
};

/// A copy of a model in which every reader of a watched tensor reads the observer's output instead; the tensor's position
/// in `watched` is its slot. `mask` names the input of the model that is 0 where sequences are padded.
pub fn with_observers(model: &Model, watched: &[(&String, FloatFormat)], mask: Option<&str>) -> Model {
    let mut model = model.clone();
    model.import(DOMAIN, 1);
    let graph = model.graph_mut();
    let mask = mask.map(|mask| {
        let real = graph.claim(&format!("{mask}.real"));
        let mut cast = new_node("Cast", "", vec![mask.to_owned()], &real);
        cast.attribute.push(attribute_int("to", i64::from(data_type::BOOL)));
        (cast, real)
    });
    for (slot, (tensor, format)) in watched.iter().enumerate() {
        let output = graph.claim(&format!("{tensor}.observed"));
        let mut observer = in_slot(observer::op(*format), tensor, &output, slot);
        observer.input.extend(mask.as_ref().map(|(_, real)| real.clone()));
        match graph.tensor(tensor) {
            Some(tensor) => graph.insert_behind(tensor, vec![observer]),
            None => graph.insert(0, vec![observer]),
        }
    }
    if let Some((cast, _)) = mask {
        graph.insert(0, vec![cast]);
    }
    model
}

/// An input of a node whose values are replaced.
#[derive(Clone, Copy, Debug)]
pub struct TransformedInput {
    /// The node, and which of its inputs.
    pub at: Use,
    /// The element format of the tensor that the node reads there.
    pub format: FloatFormat,
}

/// A copy of a model in which each of these inputs goes through a change of its own; the position in `inputs` is its slot.
pub fn with_transforms(model: &Model, inputs: &[TransformedInput]) -> Model {
    let mut model = model.clone();
    model.import(DOMAIN, 1);
    let graph = model.graph_mut();
    for (slot, changed) in inputs.iter().enumerate() {
        let Use { node, input } = changed.at;
        let Some(tensor) = graph.input(node, input).map(|tensor| graph.name(tensor).to_owned()) else { continue };
        let output = graph.claim(&format!("{tensor}.changed"));
        let transform = in_slot(transform::op(changed.format), &tensor, &output, slot);
        graph.insert_on_edge(&[changed.at], vec![transform]);
    }
    model
}

fn in_slot(op: &str, input: &str, output: &str, slot: usize) -> NodeProto {
    let mut node = new_node(op, DOMAIN, vec![input.to_owned()], output);
    node.attribute.push(attribute_int(SLOT, slot as i64));
    node
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::onnx::testing::{GraphBuilder, lines};

    #[test]
    fn every_observer_reads_the_mask_as_bool() {
        let model =
            GraphBuilder::new().input("x", &[2, 3, 4]).input("m", &[2, 3]).node("Relu", &["x"], &["y"]).model(17);
        let (x, y) = ("x".to_owned(), "y".to_owned());
        let watched = [(&x, FloatFormat::F32), (&y, FloatFormat::F16)];
        let read = |mask| lines(with_observers(&model, &watched, mask).graph());
        let expected = [
            "Cast(m) -> m.real",
            "Observe(x, m.real) -> x.observed",
            "Relu(x.observed) -> y",
            "ObserveHalf(y, m.real) -> y.observed",
        ];
        assert_eq!(read(Some("m")), expected);
        assert_eq!(read(None)[0], "Observe(x) -> x.observed");
    }
}
