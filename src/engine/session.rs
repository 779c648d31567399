//! [`Session`]: a model ready to run.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use ort::{
    operator::OperatorDomain,
    session::{RunOptions, Session as OrtSession, SessionInputValue, builder::GraphOptimizationLevel},
    value::ValueType,
};

use super::{
    Batch, EngineConfig, EngineError, Gates, InputInfo, Slots, domain::domain, failure::During, library::environment,
    log,
};
use crate::{
    calibration::Observer,
    control::{CancelHook, Canceller},
};

/// A model ready to run on the CPU.
pub struct Session {
    session: OrtSession,
    inputs: Vec<InputInfo>,
    options: Arc<RunOptions>,
    _hook: CancelHook,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("inputs", &self.inputs).finish_non_exhaustive()
    }
}

/// How far the engine may rewrite a graph before it runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Optimisation {
    /// Not at all: every node is computed as it stands.
    Off,
    /// Redundant nodes go, and activation functions become part of the layer before them; tensors that an operator of ours
    /// reads stay where they are. For graphs without Q/DQ pairs.
    Extended,
    /// What users get who set nothing: Q/DQ pairs are fused into integer kernels.
    Full,
}

/// One output of a forward pass, if it holds floats.
#[derive(Clone, Debug)]
pub struct Output {
    /// Its name in the graph.
    pub name: String,
    /// Its values in row-major order.
    pub values: Vec<f32>,
}

impl Session {
    /// Loads a model's file, and the files beside it that hold its tensors.
    pub fn load(model: &Path, optimisation: Optimisation, config: &EngineConfig) -> Result<Self, EngineError> {
        Self::load_with(model, optimisation, || Ok(None), None, config)
    }

    /// Writes the graph to `to` that users get of a model who set nothing: what is fused in it is named so.
    pub fn write_optimized(model: &Path, to: &Path, config: &EngineConfig) -> Result<(), EngineError> {
        Self::load_with(model, Optimisation::Full, || Ok(None), Some(to), config).map(drop)
    }

    /// Loads a model whose graph has observers.
    pub fn load_observed<O: Observer>(
        model: &Path,
        slots: &Slots<O>,
        config: &EngineConfig,
    ) -> Result<Self, EngineError> {
        Self::load_changed(model, slots, &Gates::default(), config)
    }

    /// Loads a model whose graph has observers and changes.
    pub fn load_changed<O: Observer>(
        model: &Path,
        slots: &Slots<O>,
        gates: &Gates,
        config: &EngineConfig,
    ) -> Result<Self, EngineError> {
        Self::load_with(model, Optimisation::Extended, || domain(slots, gates).map(Some), None, config)
    }

    fn load_with(
        model: &Path,
        optimisation: Optimisation,
        operators: impl FnOnce() -> ort::Result<Option<OperatorDomain>>,
        optimized: Option<&Path>,
        config: &EngineConfig,
    ) -> Result<Self, EngineError> {
        let environment = environment(config)?;
        let setup = |e: ort::Error| During::Setup.failed(&e);
        let mut builder = OrtSession::builder(&environment)
            .map_err(setup)?
            .with_optimization_level(match optimisation {
                Optimisation::Off => GraphOptimizationLevel::Disable,
                Optimisation::Extended => GraphOptimizationLevel::Level2,
                Optimisation::Full => GraphOptimizationLevel::All,
            })
            .map_err(|e| setup(e.into()))?
            .with_log_level(log::LEVEL)
            .map_err(|e| setup(e.into()))?
            .with_intra_threads(config.threads)
            .map_err(|e| setup(e.into()))?;
        if let Some(optimized) = optimized {
            builder = builder.with_optimized_model_path(optimized).map_err(|e| setup(e.into()))?;
        }
        // Two sessions that register a domain at the same moment find each other's half-made entry in a map that the engine
        // has one of for the whole process, and one of them is refused.
        static REGISTERING: Mutex<()> = Mutex::new(());
        let mut alone = None;
        // Made only now: without the library, the engine's interface would panic.
        if let Some(operators) = operators().map_err(setup)? {
            alone = Some(REGISTERING.lock().unwrap_or_else(PoisonError::into_inner));
            builder = builder.with_operators(operators).map_err(|e| setup(e.into()))?;
        }
        let session = builder.commit_from_file(model).map_err(|e| During::Load.failed(&e))?;
        drop(alone);
        let inputs = session.inputs().iter().map(|input| match input.dtype() {
            ValueType::Tensor { ty, shape, .. } => {
                Ok(InputInfo { name: input.name().to_owned(), element: *ty, dims: shape.to_vec() })
            }
            other => Err(EngineError::InputUnsupported { input: input.name().to_owned(), found: format!("{other:?}") }),
        });
        let (options, hook) = cancellable(&config.canceller).map_err(setup)?;
        Ok(Session { inputs: inputs.collect::<Result<_, _>>()?, session, options, _hook: hook })
    }

    /// The model's inputs, in the order of the graph.
    pub fn inputs(&self) -> &[InputInfo] {
        &self.inputs
    }

    /// Runs a batch. Outputs that do not hold floats are left out.
    pub fn run(&mut self, batch: &Batch) -> Result<Vec<Output>, EngineError> {
        let outputs =
            self.session.run_with_options(inputs(batch), &self.options).map_err(|e| During::Run.failed(&e))?;
        let floats = outputs.iter().filter_map(|(name, value)| {
            let wide = value.try_extract_tensor::<f32>().map(|(_, values)| values.to_vec());
            let halves =
                || value.try_extract_tensor::<half::f16>().map(|(_, v)| v.iter().map(|x| x.to_f32()).collect());
            Some(Output { name: name.to_owned(), values: wide.or_else(|_| halves()).ok()? })
        });
        Ok(floats.collect())
    }

    /// Runs a batch for what observers see; the outputs are left.
    pub fn forward(&mut self, batch: &Batch) -> Result<(), EngineError> {
        self.session.run_with_options(inputs(batch), &self.options).map_err(|e| During::Run.failed(&e))?;
        Ok(())
    }

    /// The engine's version, as it names itself.
    pub fn engine_version() -> String {
        let info = ort::info();
        info.split(':').next_back().unwrap_or(info).trim().to_owned()
    }
}

/// The options that a session's passes run with. Once cancelled, a pass ends with an error after the operator that is being
/// computed.
fn cancellable(canceller: &Canceller) -> ort::Result<(Arc<RunOptions>, CancelHook)> {
    let options = Arc::new(RunOptions::new()?);
    let terminated = Arc::clone(&options);
    // It can fail on nothing but a null pointer.
    let hook = canceller.on_cancel(move || drop(terminated.terminate()));
    Ok((options, hook))
}

fn inputs(batch: &Batch) -> Vec<(&str, SessionInputValue<'_>)> {
    batch.inputs.iter().map(|(name, value)| (name.as_str(), SessionInputValue::from(value))).collect()
}
