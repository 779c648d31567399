//! ONNX graphs: each weight an initializer in low precision behind a DequantizeLinear that gives it its old name, so that
//! whatever read it reads on.

mod choose;
mod opened;
mod own_axes;
mod prepared;
mod readers;

pub(super) use self::opened::OpenedGraph;
