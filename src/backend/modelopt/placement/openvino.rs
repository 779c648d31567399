//! What OpenVINO lowers to integer kernels on a CPU: it takes pairs as fake quantization wherever they stand, and an Add whose
//! output has one loses nothing on the way.

use super::{
    integer,
    onnxruntime::KERNELS,
    row::{Placement, Rules},
};

/// The row of this placement: the rules of onnxruntime's, whose files run well here too.
pub(super) static OPENVINO: Placement = Placement {
    name: "openvino",
    rules: Rules::Codes(&KERNELS),
    excluded: Some(|view, candidate, dtype| integer::excluded(view, &KERNELS, candidate, dtype)),
    joined: None,
    has_dynamic: false,
    has_tables: true,
    strongly_typed: false,
    flattens: false,
    pads_channels: false,
    in_openvino: true,
    reduce_range: true,
};
