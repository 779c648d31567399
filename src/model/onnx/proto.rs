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
    /// IEEE 754 binary32.
    pub const FLOAT: i32 = 1;
    /// IEEE 754 binary16.
    pub const FLOAT16: i32 = 10;
    /// The upper half of a binary32.
    pub const BFLOAT16: i32 = 16;
    /// Unsigned 8-bit integer.
    pub const UINT8: i32 = 2;
    /// Signed 32-bit integer, two's complement.
    pub const INT32: i32 = 6;
    /// Signed 64-bit integer, two's complement.
    pub const INT64: i32 = 7;
    /// Boolean, a byte each.
    pub const BOOL: i32 = 9;

    /// Bits of an element of the types whose elements have a fixed size.
    pub fn bits(data_type: i32) -> Option<usize> {
        Some(match data_type {
            21 | 22 | 23 => 4,
            2 | 3 | BOOL | 17..=20 => 8,
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
    /// A 64-bit integer, in `i`.
    pub const INT: i32 = 2;
    /// Bytes of a text, in `s`.
    pub const STRING: i32 = 3;
    /// A tensor, in `t`.
    pub const TENSOR: i32 = 4;
    /// Several 64-bit integers, in `ints`.
    pub const INTS: i32 = 7;
}
