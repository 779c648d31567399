//! Backend `modelopt`: static PTQ of ONNX models.
//!
//! The graph is prepared, then one calibration pass with observers in it tells the ranges; weights become low precision
//! initializers and activations get Q/DQ pairs. The model is compared with the original on evaluation data.

mod bias;
mod calibrate;
mod constants;
mod cpu;
mod data;
mod dynamic;
mod float16;
mod linear;
mod mask;
mod opened;
mod options;
mod placement;
mod prepare;
mod ranges;
mod reductions;
mod reuse;
mod rewrite;
mod run;
mod stem;
mod tables;

use std::path::Path;

use self::{
    opened::Opened,
    options::{OPTIONS, Options},
};
use super::{Backend, BackendError, Capabilities, Prepared};
use crate::{
    numeric::DType,
    spec::{Mode, QuantizeSpec},
};

/// Static PTQ of ONNX models, by the rules of NVIDIA's ModelOpt.
#[derive(Debug)]
pub(super) struct ModelOpt;

static CAPABILITIES: Capabilities = Capabilities {
    name: "modelopt",
    aliases: &["modelopt.onnx", "modelopt.pytorch", "modelopt_onnx"],
    summary: "static PTQ of ONNX models: activation ranges from calibration data, Q/DQ nodes in the graph",
    mode: Mode::StaticPtq,
    formats: &["onnx"],
    weight_dtypes: &[DType::Int8, DType::Int4, DType::Fp8E4m3fn, DType::Fp8E5m2],
    activation_dtypes: &[DType::Int8, DType::Fp8E4m3fn, DType::Fp8E5m2],
    dynamic_dtypes: &[DType::Int8],
    options: &OPTIONS,
    needs_engine: true,
};

impl Backend for ModelOpt {
    fn capabilities(&self) -> &'static Capabilities {
        &CAPABILITIES
    }

    fn calibrates_on_random(&self, spec: &QuantizeSpec) -> bool {
        Options::new(spec).random
    }

    fn open(&self, spec: &QuantizeSpec, model: &Path) -> Result<Box<dyn Prepared>, BackendError> {
        Ok(Box::new(Opened::new(spec, model)?))
    }
}
