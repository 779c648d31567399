//! Which inputs of which nodes get a Q/DQ pair: a placement is a file here and a row of [`PLACEMENTS`], over shared rules.
//!
//! Layers with weights come first; what else is quantized depends on them and on the runtime. Softmax, normalizations and
//! activation functions never are: no rule here places a pair before them. Every layer that a rule wanted quantized and
//! that is not has its reason.

mod integer;
mod kernel;
mod minimal;
mod onnxruntime;
mod openvino;
mod operand;
mod place;
mod row;
mod rules;
mod site;
mod tensorrt;
#[cfg(test)]
mod testing;
mod vanishing;
mod view;

pub(super) use operand::Operand;
pub(super) use place::place;
pub(super) use row::Placement;
pub(super) use site::{QdqSite, SiteKind};
pub(super) use tensorrt::TENSORRT;

/// Every placement, as the catalogue lists them.
pub(super) static PLACEMENTS: [&Placement; 4] =
    [&TENSORRT, &onnxruntime::ONNXRUNTIME, &openvino::OPENVINO, &minimal::MINIMAL];

/// The placement of this name.
pub(super) fn find(name: &str) -> Option<&'static Placement> {
    PLACEMENTS.into_iter().find(|placement| placement.name == name)
}
