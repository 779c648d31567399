//! ONNX models: reading and writing with every unknown field kept, constants, and Q/DQ insertion.

mod check;
mod circle;
mod constants;
mod error;
mod external;
mod float;
mod functions;
mod graph;
mod io;
mod lengths;
mod node;
pub mod op;
pub mod passes;
pub mod proto;
mod shapes;
#[cfg(test)]
pub mod testing;
mod writer;

use std::path::Path;

pub use bytes::Bytes;
pub use constants::{Constant, constant, constant_type, constant_value, scalar};
pub use error::OnnxError;
pub use graph::{Graph, Names, NodeId, TensorId, Use};
pub use io::{Model, external_files};
pub use lengths::{Length, Lengths};
pub use node::{
    attribute, attribute_int, attribute_ints, dimensions, float_attribute, inner_graphs, int_attribute, ints_attribute,
    new_node, node_name,
};
pub use passes::{PassChanges, PassOptions, QdqWriter, run_passes, upgrade};
pub use shapes::Shapes;
pub use writer::{DeferredTensor, ModelWriter};

use super::ModelFormat;

/// How ONNX models are recognised.
pub const FORMAT: ModelFormat = ModelFormat {
    name: "onnx",
    described: "ONNX (a .onnx file)",
    recognise,
    companions: |path| Ok(external_files(path)?),
};

fn recognise(path: &Path) -> bool {
    path.is_file() && path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("onnx"))
}
