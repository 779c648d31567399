//! Loading the engine's library, once per process.

use std::sync::{Mutex, PoisonError};

use ort::environment::Environment;

use super::{EngineConfig, EngineError, log};

/// The process's environment. A failed attempt is not kept: the library may be there for the next job.
static ENVIRONMENT: Mutex<Option<Environment>> = Mutex::new(None);

/// Whether the engine can be used: loads its library if that has not been done.
pub fn available(config: &EngineConfig) -> Result<(), EngineError> {
    environment(config).map(drop)
}

/// The environment, made from `config.library` by the first caller.
pub(super) fn environment(config: &EngineConfig) -> Result<Environment, EngineError> {
    let mut slot = ENVIRONMENT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(environment) = &*slot {
        return Ok(environment.clone());
    }
    let failed = |reason: String| EngineError::Library { library: config.library.clone(), reason };
    let environment = ort::init_from(&config.library)
        .map_err(|e| failed(e.to_string()))?
        .with_name("ptqd")
        .with_telemetry(false)
        .with_logger(log::logger())
        .build()
        .map_err(|e| failed(e.to_string()))?;
    environment.set_log_level(log::LEVEL);
    Ok(slot.insert(environment).clone())
}
