//! Passes over a model's graph ahead of quantization: one file and one row of [`PASSES`] each.

mod affine;
mod batch_norm;
mod constants;
mod float16;
mod pads;
mod pass;
mod prune;
mod qdq;
mod reshapes;
mod upgrade;

pub use self::{
    pass::{Pass, PassChanges, PassOptions},
    qdq::QdqWriter,
    upgrade::upgrade,
};
use super::{Model, OnnxError};

/// The passes, in the order in which they run: each works on what the one before left.
pub static PASSES: [Pass; 6] =
    [upgrade::PASS, constants::PASS, batch_norm::PASS, pads::PASS, reshapes::PASS, float16::PASS];

/// Runs every pass. A model that one of them could not carry over is unusable afterwards.
pub fn run_passes(model: &mut Model, options: &PassOptions) -> Result<PassChanges, OnnxError> {
    let mut changes = PassChanges::default();
    PASSES.iter().try_for_each(|pass| (pass.run)(model, options, &mut changes))?;
    Ok(changes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::onnx::testing::{GraphBuilder, lines};

    fn model() -> Model {
        GraphBuilder::new()
            .input("x", &[1, 2])
            .weight("w", &[3, 2])
            .floats("one", &[3], &[1.0; 3])
            .floats("zero", &[3], &[0.0; 3])
            .node("Transpose", &["w"], &["t"])
            .node("Gemm", &["x", "t", "zero"], &["g"])
            .node("BatchNormalization", &["g", "one", "zero", "zero", "one"], &["y"])
            .output("y", &[1, 3])
            .model(13)
    }

    #[test]
    fn each_pass_works_on_what_the_one_before_left() {
        let mut model = model();
        let all = PassOptions {
            opset: 17,
            fold_constants: true,
            fold_batch_norms: true,
            fold_pads: true,
            fold_shapes: true,
            float16: true,
            ..PassOptions::default()
        };
        let changes = run_passes(&mut model, &all).unwrap();
        assert_eq!((changes.constants_folded, changes.batch_norms_folded), (vec!["t".into()], vec!["y".into()]));
        assert_eq!(model.opset(), 17);
        assert_eq!(
            lines(model.graph()),
            ["Cast(x) -> x.half", "Gemm(x.half, t, g.folded_bias) -> y.half", "Cast(y.half) -> y"]
        );
    }

    #[test]
    fn what_is_not_asked_for_is_not_done() {
        let mut model = model();
        let before = lines(model.graph());
        assert_eq!(run_passes(&mut model, &PassOptions::default()).unwrap(), PassChanges::default());
        assert_eq!(lines(model.graph()), before);
    }

    #[test]
    fn passes_have_names_of_their_own() {
        let names: std::collections::BTreeSet<_> = PASSES.iter().map(|pass| pass.name).collect();
        assert_eq!(names.len(), PASSES.len());
    }
}
