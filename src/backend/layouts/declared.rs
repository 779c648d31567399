//! What is wrong with activations that are declared: the weights beside them, or the layout that is to tell of them.

use super::{activations, layout::Layout};
use crate::{
    numeric::DType,
    quant::Scheme,
    spec::{Objection, ObjectionCode},
};

/// The objection to activations that do not go with the weights, or that the layout, where it is known, cannot tell of.
/// `pointer` is that of the activations.
pub(in crate::backend) fn objection(
    pointer: &str,
    weights: &Scheme,
    dtype: DType,
    layout: Option<&Layout>,
) -> Option<Objection> {
    let object = |message: String| Objection::new(pointer, ObjectionCode::UnsupportedActivations, message);
    let native = "or take `activations` out";
    let Some(combination) = activations::find(weights, dtype) else {
        let zeros = if weights.rule.is_asymmetric() { " with zero points" } else { "" };
        let message = format!(
            "no runtime multiplies {} weights {}{zeros} with {dtype} activations",
            weights.dtype,
            weights.granularity.name()
        );
        let hint = format!("symmetric weights and activations that go together: {}; {native}", activations::words());
        return Some(object(message).hint(hint));
    };
    let layout = layout.filter(|layout| !layout.form.declares(combination))?;
    let message =
        format!("the layout `{}` cannot say that {dtype} activations go with {} weights", layout.name, weights.dtype);
    let hint =
        format!("use the layout `compressed-tensors`, which the model's config.json has to be there for, {native}");
    Some(object(message).hint(hint))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::layouts::{
        self,
        testing::{PER_GROUP, PER_ROW, asymmetric, symmetric},
    };

    #[test]
    fn an_objection_names_what_goes_and_the_layout_that_says_so() {
        let say = |weights: &Scheme, layout| objection("/a", weights, DType::Int8, layouts::find(layout));
        let row = symmetric(DType::Int8, PER_ROW).scheme;
        let wrong = say(&asymmetric(DType::Int8, PER_GROUP).scheme, "compressed-tensors").unwrap();
        assert_eq!((&*wrong.pointer, wrong.code), ("/a", ObjectionCode::UnsupportedActivations));
        assert!(wrong.message.contains("int8 weights per_group_32 with zero points"), "{}", wrong.message);
        assert!(wrong.hint.contains("int8 per row with int8; "), "{}", wrong.hint);
        assert!(say(&row, "plain").unwrap().hint.contains("`compressed-tensors`"));
        assert!(say(&symmetric(DType::Int4, PER_GROUP).scheme, "torchao").is_some());
        for layout in ["torchao", "compressed-tensors", "not known yet"] {
            assert_eq!(say(&row, layout), None, "{layout}");
        }
    }
}
