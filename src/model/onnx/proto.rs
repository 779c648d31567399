//! The messages of `onnx.proto`, generated at build time. Fields it does not name are kept as unknown fields.
#![allow(
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]

include!(concat!(env!("OUT_DIR"), "/onnx.mod.rs"));

/// ONNX's numbers for tensor element types, as far as they are used here.
pub mod data_type {
    /// 32-bit float.
    pub const FLOAT: i32 = 1;
    /// 16-bit float.
    pub const FLOAT16: i32 = 10;
    /// Brain float.
    pub const BFLOAT16: i32 = 16;
    /// 32-bit integer.
    pub const INT32: i32 = 6;
    /// 64-bit integer.
    pub const INT64: i32 = 7;

    /// Bits of an element of the types whose elements have a fixed size.
    pub fn bits(data_type: i32) -> Option<usize> {
        Some(match data_type {
            21 | 22 | 23 => 4,
            2 | 3 | 9 | 17..=20 => 8,
            4 | 5 | FLOAT16 | BFLOAT16 => 16,
            FLOAT | INT32 | 12 => 32,
            INT64 | 11 | 13 | 14 => 64,
            15 => 128,
            _ => return None,
        })
    }
}

/// ONNX's numbers for attribute types, as far as they are used here.
pub mod attribute_type {
    /// An integer.
    pub const INT: i32 = 2;
    /// A text.
    pub const STRING: i32 = 3;
    /// A tensor.
    pub const TENSOR: i32 = 4;
}
