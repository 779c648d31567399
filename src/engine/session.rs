//! [`Session`]: a model ready to run.

use std::{ops::Range, path::Path};

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
    /// Not at all: every node is computed as it stands.
    Off,
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
    /// Its values in row-major order.
    pub values: Vec<f32>,
}

impl Session {
    /// Loads a model's file, and the files beside it that hold its tensors.
    pub fn load(model: &Path, optimisation: Optimisation, config: &EngineConfig) -> Result<Self, EngineError> {
        Self::load_with(model, optimisation, None, config)
    }

    /// Loads a model whose graph has observers.
    pub fn load_observed(model: &Path, slots: &Slots, config: &EngineConfig) -> Result<Self, EngineError> {
        Self::load_with(model, Optimisation::Basic, Some(slots), config)
    }

    fn load_with(
        model: &Path,
        optimisation: Optimisation,
        slots: Option<&Slots>,
        config: &EngineConfig,
    ) -> Result<Self, EngineError> {
        let environment = library::environment(config)?;
        let load = |e: ort::Error| EngineError::Load { reason: e.to_string() };
        let mut builder = OrtSession::builder(&environment)
            .map_err(load)?
            .with_optimization_level(match optimisation {
                Optimisation::Off => GraphOptimizationLevel::Disable,
                Optimisation::Basic => GraphOptimizationLevel::Level1,
                Optimisation::Full => GraphOptimizationLevel::All,
            })
            .map_err(|e| load(e.into()))?
            .with_intra_threads(config.threads)
            .map_err(|e| load(e.into()))?;
        if let Some(slots) = slots {
            let domain = observer::domain(slots).map_err(load)?;
            builder = builder.with_operators(domain).map_err(|e| load(e.into()))?;
        }
        let session = builder.commit_from_file(model).map_err(load)?;
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

    /// Runs some samples. Outputs that do not hold floats are left out.
    pub fn run(&mut self, binding: &Binding<'_>, samples: Range<usize>) -> Result<Vec<Output>, EngineError> {
        let inputs = binding.values(samples)?;
        let outputs = self.session.run(inputs).map_err(|e| EngineError::Run { reason: e.to_string() })?;
        let floats = outputs.iter().filter_map(|(name, value)| {
            let wide = value.try_extract_tensor::<f32>().map(|(_, values)| values.to_vec());
            let halves =
                || value.try_extract_tensor::<half::f16>().map(|(_, v)| v.iter().map(|x| x.to_f32()).collect());
            Some(Output { name: name.to_owned(), values: wide.or_else(|_| halves()).ok()? })
        });
        Ok(floats.collect())
    }

    /// Runs some samples for what observers see; the outputs are left.
    pub fn forward(&mut self, binding: &Binding<'_>, samples: Range<usize>) -> Result<(), EngineError> {
        let inputs = binding.values(samples)?;
        self.session.run(inputs).map_err(|e| EngineError::Run { reason: e.to_string() })?;
        Ok(())
    }

    /// The engine's version, as it names itself.
    pub fn engine_version() -> String {
        let info = ort::info();
        info.split(':').next_back().unwrap_or(info).trim().to_owned()
    }
}
