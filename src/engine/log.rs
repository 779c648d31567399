//! What the engine itself has to say, as lines of our log.

use std::sync::Arc;

use ort::logging::{LogLevel, LoggerFunction};

/// The least level that is asked for, of what a session says as well: everything below is talk.
pub(super) const LEVEL: LogLevel = LogLevel::Error;

/// Hands what the engine says to our log. Left alone it writes to stderr, and writes names of the model as they are: a name
/// with a line break in it would be a line of the log that says whatever it likes.
pub(super) fn logger() -> LoggerFunction {
    Arc::new(|level, category, _, location, message| {
        let message = message.escape_debug();
        match level {
            LogLevel::Verbose | LogLevel::Info => {
                tracing::debug!(target: "onnxruntime", category, location, "{message}")
            }
            LogLevel::Warning => tracing::warn!(target: "onnxruntime", category, location, "{message}"),
            LogLevel::Error | LogLevel::Fatal => {
                tracing::error!(target: "onnxruntime", category, location, "{message}");
            }
        }
    })
}
