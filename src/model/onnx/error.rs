//! What can be wrong with an ONNX model.

use std::{io, path::PathBuf};

use crate::{
    fault::{Explanation, Fault, FaultCode},
    tensor::ShapeError,
};

/// What can be wrong with an ONNX model.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message says what each field is")]
pub enum OnnxError {
    /// The file cannot be read.
    #[error("cannot read the model {path}", path = path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write the model {path}", path = path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The bytes are not a protobuf message of this kind.
    #[error("{path} is not a whole ONNX model: {reason}", path = path.display())]
    Decode {
        path: PathBuf,
        /// What the decoder says.
        reason: String,
    },
    /// There is no graph or no version of the operator set.
    #[error("{path} is not an ONNX model: it has no {what}", path = path.display())]
    Incomplete { path: PathBuf, what: &'static str },
    /// Two nodes, or a node and a constant or input, give a tensor of the same name.
    #[error("tensor `{tensor}` is produced twice")]
    Duplicate { tensor: String },
    /// Two inputs, or two nodes, of one graph have the same name.
    #[error("two {what} have the name `{name}`")]
    SameName { what: &'static str, name: String },
    /// A node has fewer inputs or outputs than its operator cannot do without.
    #[error("node `{node}` ({op_type}) has too few {what}: {found}, and {least} or more are needed")]
    Arity {
        node: String,
        op_type: String,
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many every version of the operator needs.
        least: usize,
    },
    /// An attribute has a value that no version of the operator takes.
    #[error("node `{node}` ({op_type}) has {attribute} {found} and needs {least} or more")]
    AttributeRange { node: String, op_type: String, attribute: &'static str, found: i64, least: i64 },
    /// A node reads a tensor that is no input, no constant and no node's output.
    #[error("node `{node}` ({op_type}) reads tensor `{tensor}`, which nothing gives")]
    InputMissing { node: String, op_type: String, tensor: String },
    /// A graph promises an output that nothing gives.
    #[error("the graph's output `{tensor}` is given by nothing")]
    OutputMissing { tensor: String },
    /// A node waits for its own output.
    #[error("node `{node}` ({op_type}) depends on its own output")]
    Cycle { node: String, op_type: String },
    /// A constant's shape is impossible.
    #[error("constant `{tensor}` has an impossible shape")]
    Shape {
        tensor: String,
        #[source]
        source: ShapeError,
    },
    /// A constant's data is not as long as its shape says.
    #[error("constant `{tensor}` has {found} bytes of data where its shape needs {expected}")]
    Length { tensor: String, found: usize, expected: usize },
    /// A tensor's data is in another file, which cannot be used.
    #[error("tensor `{tensor}` is stored outside the model file: {reason}")]
    External {
        tensor: String,
        /// What is wrong with the other file.
        reason: String,
    },
    /// The model's own functions are too many, too deep, or stand for too many nodes.
    #[error("the model's functions cannot be carried out: {reason}")]
    Functions { reason: String },
    /// An operator has no equal in the operator set that the result needs.
    #[error("node `{node}` ({op_type}) cannot be carried from opset {found} to {needed}: {reason}")]
    Upgrade { node: String, op_type: String, found: i64, needed: i64, reason: &'static str },
    /// An operator cannot be carried to f16.
    #[error("node `{node}` ({op_type}) cannot be carried to f16: {reason}")]
    Float16 { node: String, op_type: String, reason: &'static str },
    /// The operator set is too old for per-channel Q/DQ.
    #[error("the model uses opset {found}, and the quantized one needs {needed} or later")]
    Opset { found: i64, needed: i64 },
    /// The result would be larger than protobuf allows.
    #[error("the model is larger than a protobuf message may be")]
    TooLarge,
}

/// What to do about a model whose operators are older than these.
fn export_again(needed: i64) -> String {
    /// Since when QuantizeLinear has a scale for each channel.
    const PER_CHANNEL: i64 = 13;
    let again = format!("export the model again with opset {needed} or later");
    if needed > PER_CHANNEL { format!("{again}, or choose int8 per channel, which needs {PER_CHANNEL}") } else { again }
}

impl Fault for OnnxError {
    fn explain(&self) -> Explanation<'_> {
        use FaultCode::*;
        match self {
            OnnxError::Read { .. } => ModelUnreadable.plain(),
            OnnxError::Write { .. } => ArtifactUnwritable.hint("is the disk full?"),
            OnnxError::Decode { .. } => {
                ModelCorrupt.hint("the file may be truncated: compare its size and digest with the source")
            }
            OnnxError::Incomplete { .. } => ModelCorrupt.hint("is it another kind of file with the name of a model?"),
            OnnxError::Arity { .. }
            | OnnxError::AttributeRange { .. }
            | OnnxError::InputMissing { .. }
            | OnnxError::OutputMissing { .. }
            | OnnxError::Duplicate { .. }
            | OnnxError::SameName { .. }
            | OnnxError::Shape { .. }
            | OnnxError::Cycle { .. } => ModelInvalid.hint(
                "no engine loads such a graph: see what onnx.checker.check_model says, and export the model again",
            ),
            OnnxError::Length { .. } => {
                ModelInvalid.hint("the file may be truncated: compare its size and digest with the source")
            }
            OnnxError::External { .. } => {
                ExternalDataInvalid.hint("keep the data files below the folder of the model, as plain files")
            }
            OnnxError::Functions { .. } => ModelInvalid.hint("inline the functions before, with onnx.inliner"),
            OnnxError::Upgrade { needed, .. } => OpsetUpgradeUnsupported.hint(export_again(*needed)),
            OnnxError::Opset { needed, .. } => OpsetTooOld.hint(export_again(*needed)),
            OnnxError::Float16 { .. } => HalfPrecisionUnsupported.hint("leave high_precision_dtype at fp32"),
            OnnxError::TooLarge => ModelTooLarge.plain(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn int8_per_channel_is_a_way_out_only_where_it_needs_less() {
        let hint = |needed| OnnxError::Opset { found: 5, needed }.hint().unwrap_or_default();
        assert_eq!(hint(7), "export the model again with opset 7 or later");
        assert!(hint(21).ends_with("or choose int8 per channel, which needs 13"));
    }
}
