//! [`Objection`]: one thing that is wrong with a request, said so that a person and a program can act on it.

use serde::{Deserialize, Serialize};

/// The kinds of objection. The names in snake case are part of the API and never change meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectionCode {
    /// A value has the wrong JSON type.
    WrongType,
    /// A required value is missing or empty.
    Missing,
    /// No such field.
    UnknownField,
    /// No such backend.
    UnknownBackend,
    /// No such mode.
    UnknownMode,
    /// The mode exists, but not on this backend.
    UnsupportedMode,
    /// No such dtype.
    UnknownDtype,
    /// The dtype exists, but not on this backend.
    UnsupportedDtype,
    /// No such calibration algorithm.
    UnknownAlgorithm,
    /// The algorithm exists, but not for this backend or these dtypes.
    UnsupportedAlgorithm,
    /// A name pattern cannot be read.
    InvalidPattern,
    /// A name pattern matches nothing in the model.
    UnmatchedPattern,
    /// No rule asks for anything to be quantized.
    NothingToQuantize,
    /// `quant_axis` asks for an axis that cannot be chosen here.
    UnsupportedQuantAxis,
    /// Activations are to be quantized where the weights are not.
    ActivationsWithoutWeights,
    /// A device that does not exist.
    UnknownDevice,
    /// The backend has no such option.
    UnknownBackendOption,
    /// Two options, or an option and a rule, that contradict each other.
    OptionConflict,
    /// Calibration data for a backend that has no calibration.
    CalibrationNotApplicable,
    /// No calibration data for a backend that needs it.
    CalibrationMissing,
    /// A value is outside its range.
    OutOfRange,
    /// A URI cannot be read or its scheme is not supported or not allowed.
    InvalidUri,
    /// The backend does not take models of this kind.
    UnsupportedModelFormat,
}

impl ObjectionCode {
    /// The name in snake case.
    pub fn name(self) -> String {
        serde_json::to_value(self).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
    }
}

/// A key as a token of a JSON pointer (RFC 6901).
pub fn pointer_token(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// One thing that is wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Objection {
    /// JSON pointer (RFC 6901) to the value in the request.
    pub pointer: String,
    /// What kind of thing.
    pub code: ObjectionCode,
    /// The sentence for a person.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The values that would have been accepted, where they can be listed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed: Vec<String>,
}

impl Objection {
    /// An objection without hint.
    pub fn new(pointer: impl Into<String>, code: ObjectionCode, message: impl Into<String>) -> Self {
        Objection { pointer: pointer.into(), code, message: message.into(), hint: None, allowed: Vec::new() }
    }

    /// The same with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same with the values that would have been accepted.
    #[must_use]
    pub fn allowed<T: ToString>(mut self, allowed: impl IntoIterator<Item = T>) -> Self {
        self.allowed = allowed.into_iter().map(|a| a.to_string()).collect();
        self
    }
}
