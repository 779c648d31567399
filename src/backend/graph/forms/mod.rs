//! [`Form`]: how a graph holds a constant in low precision, and what reads it there.

mod dequantize_linear;
mod gathered;
mod matmul_integer;
mod matmul_nbits;
mod products;

use std::collections::BTreeMap;

pub(in crate::backend) use self::{matmul_integer::is_possible as takes_codes, matmul_nbits::MatMulNBits};

use crate::{
    backend::{
        layouts::onnx,
        weights::{EncodedWeight, WeightScheme},
    },
    model::onnx::{Constant, DeferredTensor, Graph, Model, OnnxError, proto::NodeProto},
};

/// The forms of constants by their names. One that is not there stands behind a DequantizeLinear.
pub(in crate::backend) type Forms = BTreeMap<String, Form>;

/// How a graph holds a constant in low precision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::backend) enum Form {
    /// Behind a DequantizeLinear that has the constant's name, so that whatever read it reads on.
    #[default]
    DequantizeLinear,
    /// In a node of MatMulInteger, which takes the place of each product that read it, behind a DynamicQuantizeLinear of the
    /// other operand.
    MatMulInteger,
    /// As codes and scales of rows, of which each Gather that read it picks.
    Gathered,
    /// In a node of MatMulNBits, which takes the place of each product that read it.
    MatMulNBits(MatMulNBits),
}

impl Form {
    /// What plans and reports call it, where it is not the usual one.
    pub(in crate::backend) fn name(self) -> Option<&'static str> {
        match self {
            Form::DequantizeLinear => None,
            Form::MatMulInteger => Some(matmul_integer::NAME),
            Form::Gathered => Some(gathered::NAME),
            Form::MatMulNBits(_) => Some(matmul_nbits::NAME),
        }
    }

    /// The form of an embedding table, if nodes that pick its rows are all that reads it.
    pub(in crate::backend) fn for_table(graph: &Graph, constant: &str) -> Option<Form> {
        gathered::fits(graph, constant).then_some(Form::Gathered)
    }

    /// Whether the matrix of the weight's scheme is the constant with its two axes swapped.
    pub(super) fn swaps(self) -> bool {
        matches!(self, Form::MatMulNBits(MatMulNBits { swaps: true, .. }))
    }

    /// The least version of ONNX's operators that can say it.
    pub(in crate::backend) fn needed_opset(self, weight: &WeightScheme) -> i64 {
        match self {
            Form::DequantizeLinear => onnx::needed_opset([weight]),
            Form::MatMulInteger => matmul_integer::OPSET,
            Form::Gathered | Form::MatMulNBits(_) => onnx::BROADCASTS,
        }
    }

    /// Changes what reads the constant. The tensors that hold it, which are deferred, and the node that is to stand at the
    /// front of the graph, if one is.
    pub(super) fn put(
        self,
        model: &mut Model,
        constant: &Constant<'_>,
        weight: &WeightScheme,
        deferred: &mut Vec<DeferredTensor>,
    ) -> Result<(EncodedWeight, Option<NodeProto>), OnnxError> {
        match self {
            Form::DequantizeLinear => {
                let (encoded, node) = dequantize_linear::put(model.graph_mut(), constant, weight, deferred)?;
                Ok((encoded, Some(node)))
            }
            Form::MatMulInteger => Ok((matmul_integer::put(model.graph_mut(), constant, weight, deferred)?, None)),
            Form::Gathered => Ok((gathered::put(model.graph_mut(), &constant.source, weight, deferred)?, None)),
            Form::MatMulNBits(form) => Ok((form.put(model, &constant.source, weight, deferred)?, None)),
        }
    }
}
