//! The numeric choices that could have been made otherwise, as named types that every report records.

use serde::Serialize;

/// What happens to a number between two codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rounding {
    /// To the nearest code; a tie goes to the code whose last bit is 0 (IEEE 754's default).
    HalfToEven,
}

/// What happens to a number beyond the largest code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Saturation {
    /// It becomes the largest finite code of its sign, infinities included.
    LargestFinite,
}

/// What happens to a NaN in the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NanPolicy {
    /// Refused before anything is encoded; a model with NaN weights is broken, not quantizable.
    Refused,
    /// Refused in data files; counted and reported where it arises inside the network.
    Counted,
}
