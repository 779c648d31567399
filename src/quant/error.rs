//! [`QuantError`]: why values cannot be quantized.

/// Why values cannot be quantized.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the message says what each field is")]
pub enum QuantError {
    /// A weight is NaN or infinite.
    #[error("the value at row {row}, column {column} is NaN or infinite")]
    NotFinite {
        /// Its index on the first axis.
        row: usize,
        /// Its index within the row, all other axes counted as one.
        column: usize,
    },
    /// A buffer's length is not what the block needs.
    #[error("buffers of {bytes} bytes and {cells} cells where {touched} cells are touched")]
    Lengths { bytes: usize, cells: usize, touched: usize },
}
