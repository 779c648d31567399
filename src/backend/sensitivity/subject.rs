//! [`Subject`]: what is looked at.

use crate::{
    backend::weights::WeightScheme,
    model::onnx::{Model, Use},
    numeric::FloatFormat,
    quant::{QParams, Scheme},
};

/// A model, and what its result has in low precision.
pub(in crate::backend) struct Subject<'a> {
    /// The prepared model, before anything in it was quantized.
    pub(in crate::backend) model: &'a Model,
    /// The inputs of layers that are in low precision in the result.
    pub(in crate::backend) inputs: &'a [QuantizedInput],
    /// For each layer that is reported, the name and format of what it gives; `None` for one in a branch or a loop.
    pub(in crate::backend) outputs: Vec<Option<(&'a String, FloatFormat)>>,
}

/// An input of a layer that is in low precision now.
#[derive(Clone, Debug)]
pub(in crate::backend) struct QuantizedInput {
    /// The layer, as a position in the plan.
    pub(in crate::backend) layer: usize,
    /// The node, and which of its inputs.
    pub(in crate::backend) at: Use,
    /// The tensor's element format.
    pub(in crate::backend) format: FloatFormat,
    /// Whether it is an activation or a weight, and under what scale.
    pub(in crate::backend) kind: QuantizedInputKind,
}

/// How an input is quantized.
#[derive(Clone, Debug)]
pub(in crate::backend) enum QuantizedInputKind {
    /// An activation, and its report: the layer's position in the plan and the number among that layer's. One report alone
    /// stands for a tensor that several inputs read.
    Activation { params: QParams, scheme: Scheme, report: Option<(usize, usize)> },
    /// An activation whose scale and zero point are those of its own range, tensor by tensor.
    Dynamic,
    /// A constant under the scheme that its layer has in the result.
    Weight(WeightScheme),
}
