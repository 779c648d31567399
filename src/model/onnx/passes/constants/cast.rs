//! Casts of constants: to a wider float, and to the type that they have.

use super::operands::{Operands, tensor};
use crate::{
    model::onnx::{
        int_attribute,
        proto::{TensorProto, data_type},
    },
    numeric::FloatFormat,
};

/// A Cast of half floats to f32. Nothing that rounds.
pub(super) fn cast(operands: &Operands<'_>) -> Option<TensorProto> {
    let floats = operands.floats()?;
    let widens =
        floats.format != FloatFormat::F32 && int_attribute(operands.node(), "to") == Some(i64::from(data_type::FLOAT));
    let wide = || floats.format.decode(&floats.bytes).into_iter().flat_map(f32::to_le_bytes).collect::<Vec<u8>>();
    widens.then(|| tensor(FloatFormat::F32, floats.dims.iter().copied(), wide().into()))
}

/// A CastLike to the type that the constant has.
pub(super) fn cast_like(operands: &Operands<'_>) -> Option<TensorProto> {
    let floats = operands.floats()?;
    let same = operands.element_type(1) == Some(floats.format.onnx());
    same.then(|| floats.in_dims(floats.dims.iter().copied()))
}

#[cfg(test)]
mod tests {
    use super::{super::operands::folded, *};
    use crate::model::onnx::testing::{GraphBuilder, floats};

    /// A constant `h` with the f16 values 1 and −2, and one of f32.
    fn constants() -> GraphBuilder {
        let raw_data = Some(vec![0x00, 0x3c, 0x00, 0xc0].into());
        let half = TensorProto { data_type: Some(data_type::FLOAT16), raw_data, ..floats("h", &[2], &[]) };
        GraphBuilder::new().input("x", &[2]).constant(half).weight("w", &[2])
    }

    #[test]
    fn half_floats_become_wide_ones() {
        let builder = constants().node("Cast", &["h"], &["y"]).int("to", 1);
        let expected = TensorProto { name: None, ..floats("", &[2], &[1.0, -2.0]) };
        assert_eq!(folded(builder, cast), Some(expected));
    }

    #[test]
    fn a_cast_that_rounds_or_changes_nothing_stays() {
        for (from, to) in [("h", 10), ("w", 1), ("w", 10), ("h", 6)] {
            let builder = constants().node("Cast", &[from], &["y"]).int("to", to);
            assert_eq!(folded(builder, cast), None, "{from} to {to}");
        }
    }

    #[test]
    fn a_cast_to_the_type_of_a_tensor_of_the_same_type_is_none() {
        for (like, folds) in [("x", true), ("w", true), ("h", false), ("unknown", false)] {
            let builder = constants().node("CastLike", &["w", like], &["y"]);
            assert_eq!(folded(builder, cast_like).is_some(), folds, "{like}");
        }
    }
}
