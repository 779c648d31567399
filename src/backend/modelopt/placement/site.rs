//! [`QdqSite`]: a tensor that gets a Q/DQ pair.

use crate::{
    model::onnx::Use,
    numeric::{DType, FloatFormat},
    quant::{Granularity, ScaleRule, Scheme},
};

/// A tensor that gets a Q/DQ pair.
#[derive(Clone, Debug)]
pub(in crate::backend::modelopt) struct QdqSite {
    /// The layer whose rules hold, as a position in the plan: the first that reads the codes.
    pub(in crate::backend::modelopt) layer: usize,
    /// What reads the dequantized values.
    pub(in crate::backend::modelopt) uses: Vec<Use>,
    /// The tensor, by name.
    pub(in crate::backend::modelopt) tensor: String,
    /// The tensor's element format.
    pub(in crate::backend::modelopt) format: FloatFormat,
    /// The dtype of its codes.
    pub(in crate::backend::modelopt) dtype: DType,
    /// Where the pair stands and what it looks like.
    pub(in crate::backend::modelopt) kind: SiteKind,
}

/// Where a pair stands and what it looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::backend::modelopt) enum SiteKind {
    /// Before an input, with 0 in the middle of its codes.
    Input,
    /// Behind the node that gives the tensor, with codes from 0 to 255.
    Behind {
        /// Whether the codes are spread over the range from the least to the largest value, and not evenly around 0.
        asymmetric: bool,
        /// The tensor whose scale it has, since an operator between the two passes codes on.
        scale_of: Option<String>,
    },
}

impl QdqSite {
    /// How the tensor is quantized: one scale, in the format of the tensor.
    pub(in crate::backend::modelopt) fn scheme(&self) -> Scheme {
        let scheme = Scheme { scale_format: None, ..Scheme::onnx(self.dtype, Granularity::PerTensor) };
        match self.kind {
            SiteKind::Behind { asymmetric: true, .. } => Scheme { rule: ScaleRule::RangeOverStepsOfAny, ..scheme },
            _ => scheme,
        }
    }

    /// Whether the tensor is f32.
    pub(in crate::backend::modelopt) fn is_f32(&self) -> bool {
        self.format == FloatFormat::F32
    }

    /// Puts 0 in the middle of the codes.
    pub(in crate::backend::modelopt) fn center(&mut self) {
        if let SiteKind::Behind { asymmetric, .. } = &mut self.kind {
            *asymmetric = false;
        }
    }

    /// The tensor whose scale it has, if not its own.
    pub(in crate::backend::modelopt) fn scale_of(&self) -> Option<&str> {
        match &self.kind {
            SiteKind::Behind { scale_of, .. } => scale_of.as_deref(),
            SiteKind::Input => None,
        }
    }
}
