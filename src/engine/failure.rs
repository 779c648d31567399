//! Whose fault it is that the engine fails: by its code and, where that is one for everything, by its message.

use ort::{Error, ErrorCode};

use super::EngineError;

/// What every message begins with that an operator of ours fails with. It comes back through the engine as text.
const OURS: &str = "ptqd's own operator: ";
/// What the C++ library and the engine's allocators say where there is no memory.
const NO_MEMORY: [&str; 5] =
    ["bad_alloc", "bad allocation", "Failed to allocate memory", "Cannot allocate memory", "out of memory"];
/// What the engine says of models that are newer than it, or use operators that it does not have.
const NOT_SUPPORTED: [&str; 6] = [
    "is not a registered function/op",
    "No Op registered for",
    "Could not find an implementation for",
    "Unsupported model IR version",
    "is under development and support for this is limited",
    "ONNX Runtime only *guarantees* support",
];

/// An error of one of our operators that no model and no data should cause.
pub(super) fn ours(message: &str) -> Error {
    Error::new(format!("{OURS}{message}"))
}

/// What the engine was doing when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum During {
    /// Getting itself ready, before it knew the model.
    Setup,
    /// Reading a model and laying out its session.
    Load,
    /// Running a forward pass.
    Run,
}

impl During {
    /// The engine's error as ours.
    pub(super) fn failed<R>(self, error: &Error<R>) -> EngineError {
        self.classify(error.code(), error.message())
    }

    fn classify(self, code: ErrorCode, message: &str) -> EngineError {
        let reason = message.to_owned();
        let says = |texts: &[&str]| texts.iter().any(|text| message.contains(text));
        // These three stand for anything that was thrown.
        let thrown = matches!(
            code,
            ErrorCode::GenericFailure | ErrorCode::RuntimeException | ErrorCode::ExecutionProviderFailure
        );
        match code {
            _ if thrown && says(&NO_MEMORY) => EngineError::OutOfMemory { reason },
            _ if message.contains(OURS) || self == During::Setup => EngineError::Internal { reason },
            ErrorCode::NotImplemented => EngineError::Unsupported { reason },
            _ if self == During::Load && says(&NOT_SUPPORTED) => EngineError::Unsupported { reason },
            ErrorCode::EngineError
            | ErrorCode::ModelLoadCanceled
            | ErrorCode::CompilationRequired
            | ErrorCode::DeviceReset => EngineError::Internal { reason },
            _ if self == During::Load => EngineError::Load { reason },
            _ => EngineError::Run { reason },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::{Fault, FaultKind};

    /// Messages are those of ONNX Runtime 1.31.
    #[test]
    fn each_error_of_the_engine_is_blamed_on_whoever_can_mend_it() {
        use During::*;
        use ErrorCode::*;
        let node = "Non-zero status code returned while running Conv node. Name:'conv' Status Message: ";
        let cases = [
            (Run, RuntimeException, format!("{node}std::bad_alloc"), "engine_out_of_memory"),
            (
                Run,
                GenericFailure,
                "Failed to allocate memory for requested buffer of size 8".into(),
                "engine_out_of_memory",
            ),
            (Load, RuntimeException, "Exception during initialization: std::bad_alloc".into(), "engine_out_of_memory"),
            (Load, GenericFailure, "mmap failed: Cannot allocate memory".into(), "engine_out_of_memory"),
            (Load, NotImplemented, "Could not find an implementation for Foo(1) node".into(), "operator_unsupported"),
            (
                Load,
                GenericFailure,
                "Fatal error: com.x:Foo(-1) is not a registered function/op".into(),
                "operator_unsupported",
            ),
            (
                Load,
                GenericFailure,
                "Unsupported model IR version: 99, max supported IR version: 13".into(),
                "operator_unsupported",
            ),
            (Run, NotImplemented, format!("{node}no kernel"), "operator_unsupported"),
            (Load, InvalidGraph, "This is an invalid model. Error: Duplicate".into(), "model_rejected"),
            (Load, InvalidProtobuf, "Load model failed: Protobuf parsing failed.".into(), "model_rejected"),
            (Load, InvalidGraph, "node `bad_alloc` has no input".into(), "model_rejected"),
            (Run, InvalidArgument, "Got invalid dimensions for input: x".into(), "model_run_failed"),
            (Run, RuntimeException, format!("{node}divide by zero"), "model_run_failed"),
            (Run, GenericFailure, format!("{node}{OURS}no such observer"), "internal_error"),
            (Setup, GenericFailure, "thread options".into(), "internal_error"),
            (Load, ModelLoadCanceled, "cancelled".into(), "internal_error"),
        ];
        for (during, code, message, expected) in cases {
            assert_eq!(during.classify(code, &message).code().name(), expected, "{during:?} {code:?} {message}");
        }
    }

    #[test]
    fn an_exhausted_machine_and_a_missing_operator_are_not_the_users_fault() {
        let kind = |code| During::Run.classify(code, "std::bad_alloc").kind();
        assert_eq!(kind(ErrorCode::RuntimeException), FaultKind::Exhausted);
        assert_eq!(kind(ErrorCode::NotImplemented), FaultKind::Unsupported);
        assert_eq!(kind(ErrorCode::InvalidArgument), FaultKind::Invalid);
    }
}
