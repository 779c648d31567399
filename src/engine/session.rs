//! [`Session`]: a model ready to run.

use std::ops::Range;

use ort::{
    session::{Session as OrtSession, builder::GraphOptimizationLevel},
    value::ValueType,
};

use super::{Binding, EngineConfig, EngineError, InputInfo, Slots, library, observer};

/// A model ready to run on the CPU.
#[derive(Debug)]
pub struct Session {
    session: OrtSession,
    inputs: Vec<InputInfo>,
}

/// How far the engine may rewrite a graph before it runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Optimisation {
    /// Redundant nodes go; Q/DQ pairs are computed as the graph says, and observed tensors stay where they are.
    Basic,
    /// What users get who set nothing: Q/DQ pairs are fused into integer kernels.
    Full,
}

/// One output of a forward pass, if it holds floats.
#[derive(Clone, Debug)]
pub struct Output {
    /// Its name.
    pub name: String,
    /// Its dimensions, batch first.
    pub dims: Vec<usize>,
    /// Its values in row-major order.
    pub values: Vec<f32>,
}

impl Session {
    /// Loads a serialized model.
    pub fn load(model: &[u8], optimisation: Optimisation, config: &EngineConfig) -> Result<Self, EngineError> {
        Self::load_with(model, optimisation, None, config)
    }

    /// Loads a serialized model whose graph has observers.
    pub fn load_observed(model: &[u8], slots: &Slots, config: &EngineConfig) -> Result<Self, EngineError> {
        Self::load_with(model, Optimisation::Basic, Some(slots), config)
    }

    fn load_with(
        model: &[u8],
        optimisation: Optimisation,
        slots: Option<&Slots>,
        config: &EngineConfig,
    ) -> Result<Self, EngineError> {
        let environment = library::environment(config)?;
        let load = |reason: String| EngineError::Load { reason };
        let mut builder = OrtSession::builder(&environment)
            .map_err(|e| load(e.to_string()))?
            .with_optimization_level(match optimisation {
                Optimisation::Basic => GraphOptimizationLevel::Level1,
                Optimisation::Full => GraphOptimizationLevel::All,
            })
            .map_err(|e| load(e.to_string()))?
            .with_intra_threads(config.threads)
            .map_err(|e| load(e.to_string()))?;
        if let Some(slots) = slots {
            let domain = observer::domain(slots).map_err(|e| load(e.to_string()))?;
            builder = builder.with_operators(domain).map_err(|e| load(e.to_string()))?;
        }
        let session = builder.commit_from_memory(model).map_err(|e| load(e.to_string()))?;
        let inputs = session.inputs().iter().map(|input| match input.dtype() {
            ValueType::Tensor { ty, shape, .. } => {
                Ok(InputInfo { name: input.name().to_owned(), element: *ty, dims: shape.to_vec() })
            }
            other => Err(EngineError::InputUnsupported { input: input.name().to_owned(), found: format!("{other:?}") }),
        });
        Ok(Session { inputs: inputs.collect::<Result<_, _>>()?, session })
    }

    /// The model's inputs.
    pub fn inputs(&self) -> &[InputInfo] {
        &self.inputs
    }

    /// Runs some samples. Outputs that do not hold f32 are left out.
    pub fn run(&mut self, binding: &Binding<'_>, samples: Range<usize>) -> Result<Vec<Output>, EngineError> {
        let inputs = binding.values(samples)?;
        let outputs = self.session.run(inputs).map_err(|e| EngineError::Run { reason: e.to_string() })?;
        let floats = outputs.iter().filter_map(|(name, value)| {
            let (shape, values) = value.try_extract_tensor::<f32>().ok()?;
            let dims = shape.iter().map(|&d| usize::try_from(d).unwrap_or(0)).collect();
            Some(Output { name: name.to_owned(), dims, values: values.to_vec() })
        });
        Ok(floats.collect())
    }

    /// The engine's version, as it names itself.
    pub fn engine_version() -> String {
        let info = ort::info();
        info.split(':').next_back().unwrap_or(info).trim().to_owned()
    }
}
