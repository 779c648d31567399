//! How quantized weights are stored, so that a runtime loads them. A layout of checkpoints is a file here and a row of
//! [`LAYOUTS`]; graphs have one form, [`onnx`].

mod activations;
mod compressed_tensors;
mod declared;
mod layout;
pub(super) mod onnx;
mod plain;
mod tensors;
#[cfg(test)]
mod testing;
mod torchao;

pub(super) use activations::DTYPES as ACTIVATIONS;
pub(super) use declared::objection;
pub(super) use layout::{Entry, Layout};

/// Every layout of checkpoints, sorted by name.
pub(super) static LAYOUTS: [Layout; 3] = [compressed_tensors::LAYOUT, plain::LAYOUT, torchao::LAYOUT];

/// The layout of this name.
pub(super) fn find(name: &str) -> Option<&'static Layout> {
    LAYOUTS.iter().find(|layout| layout.name == name)
}

/// The layout where none was asked for: one that loaders of the model's config.json know, if there is one.
pub(super) fn default(has_config: bool) -> &'static Layout {
    if has_config { &compressed_tensors::LAYOUT } else { &plain::LAYOUT }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_layout_is_found_by_its_name_and_the_defaults_are_the_two_meant() {
        assert!(LAYOUTS.is_sorted_by(|a, b| a.name < b.name));
        for layout in &LAYOUTS {
            assert_eq!(find(layout.name).map(|found| found.name), Some(layout.name));
            assert!(!layout.dtypes.is_empty());
        }
        assert!(find("auto").is_none());
        assert_eq!((default(true).name, default(false).name), ("compressed-tensors", "plain"));
    }
}
