//! ONNX models: reading and writing with every unknown field kept, constants, and Q/DQ insertion.

mod batch_norm;
mod check;
mod constants;
mod error;
mod external;
mod float;
mod fold;
mod graph;
mod half;
mod io;
mod node;
pub mod op;
pub mod proto;
mod prune;
mod qdq;
mod shapes;
#[cfg(test)]
pub mod testing;
mod upgrade;
mod writer;

use std::path::Path;

pub use batch_norm::fold_batch_norms;
pub use bytes::Bytes;
pub use constants::{Constant, constant};
pub use error::OnnxError;
pub use fold::fold_constants;
pub use graph::{Graph, Names, NodeId, TensorId, Use};
pub use half::{Halved, to_half};
pub use io::{Model, external_files};
pub use node::{
    attribute, attribute_int, dimensions, float_attribute, inner_graphs, int_attribute, ints_attribute, new_node,
    node_name,
};
pub use qdq::QdqWriter;
pub use shapes::Shapes;
pub use upgrade::upgrade;
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
