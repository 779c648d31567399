//! How quantized weights are stored, so that a runtime loads them. A layout of checkpoints is a file here and a row of
//! [`LAYOUTS`]; graphs have one form, [`onnx`].

mod compressed_tensors;
mod layout;
pub(super) mod onnx;
mod plain;
mod tensors;
mod torchao;

pub(super) use layout::{Entry, Layout};

/// Every layout of checkpoints, sorted by name.
pub(super) static LAYOUTS: [Layout; 3] = [compressed_tensors::LAYOUT, plain::LAYOUT, torchao::LAYOUT];

/// The layout of this name.
pub(super) fn find(name: &str) -> Option<&'static Layout> {
    LAYOUTS.iter().find(|layout| layout.name == name)
}

/// The layout where none was asked for: one that loaders of the model's config.json know, if there is one.
pub(super) fn default(has_config: bool) -> &'static Layout {
    let [compressed_tensors, plain, _] = &LAYOUTS;
    if has_config { compressed_tensors } else { plain }
}
