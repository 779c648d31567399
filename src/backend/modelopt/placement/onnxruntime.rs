//! What onnxruntime fuses into integer kernels on a CPU.

use super::{
    integer,
    kernel::Kernel,
    row::{Placement, Rules},
};

/// The row of this placement. The table is that of onnxruntime's selectors (`qdq_selectors.cc`): what they accept, and of
/// that what is faster in codes.
pub(super) static ONNXRUNTIME: Placement = Placement {
    name: "onnxruntime",
    rules: Rules::Codes(&KERNELS),
    excluded: Some(|view, candidate, dtype| integer::excluded(view, &KERNELS, candidate, dtype)),
    joined: None,
    has_dynamic: true,
    has_tables: true,
    strongly_typed: false,
    flattens: true,
    pads_channels: true,
    keeps_reduced_dims: false,
    in_openvino: false,
    reduce_range: true,
};

/// onnxruntime's integer kernels. Softmax has one, which costs more than it gains; a product of two computed tensors too.
pub(super) static KERNELS: [(&str, Kernel); 21] = [
    ("Add", Kernel::Joins),
    ("AveragePool", Kernel::Joins),
    ("Concat", Kernel::Joins),
    ("Conv", Kernel::Layer),
    ("Flatten", Kernel::Passes),
    ("Gemm", Kernel::FloatLayer),
    ("GlobalAveragePool", Kernel::Joins),
    ("LeakyRelu", Kernel::Joins),
    ("MatMul", Kernel::FloatLayer),
    ("MaxPool", Kernel::Passes),
    ("Mul", Kernel::Joins),
    ("ReduceMax", Kernel::Passes),
    ("ReduceMin", Kernel::Passes),
    ("Reshape", Kernel::Passes),
    ("Resize", Kernel::Passes),
    ("Sigmoid", Kernel::Joins),
    ("Slice", Kernel::Passes),
    ("Split", Kernel::Passes),
    ("Squeeze", Kernel::Passes),
    ("Transpose", Kernel::Passes),
    ("Unsqueeze", Kernel::Passes),
];
