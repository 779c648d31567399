//! [`Objection`]: one thing that is wrong with a request, said so that a person and a program can act on it.

use serde::{Deserialize, Serialize};

use super::nearest;
use crate::fault::{StableCode as _, codes};

codes! {
    /// The kinds of objection. The names in snake case are part of the API and never change meaning.
    pub enum ObjectionCode {
        /// A value has the wrong JSON type.
        WrongType("wrong_type", "Give a value of the type that the message names.");
        /// A required value is missing or empty.
        Missing("missing", "Give the value.");
        /// The request has no field of this name there.
        UnknownField("unknown_field", "Remove it, or use one of the fields listed in `allowed`.");
        /// No backend has this name or alias.
        UnknownBackend("unknown_backend", "Choose one of those listed in `allowed`.");
        /// There is no preset of this name.
        UnknownPreset("unknown_preset", "Choose one of those listed in `allowed`; `GET /v1/presets` tells what each stands for.");
        /// There is no such mode.
        UnknownMode("unknown_mode", "Choose one of those listed in `allowed`.");
        /// The mode exists, but not on this backend.
        UnsupportedMode("unsupported_mode", "Choose the backend that the hint names, or its mode.");
        /// There is no such dtype.
        UnknownDtype("unknown_dtype", "Choose one of those listed in `allowed`.");
        /// The dtype exists, but not on this backend.
        UnsupportedDtype("unsupported_dtype", "Choose one of those listed in `allowed`, or another backend.");
        /// No such calibration algorithm.
        UnknownAlgorithm("unknown_algorithm", "Choose one of those listed in `allowed`.");
        /// The algorithm exists, but not for this backend or these dtypes.
        UnsupportedAlgorithm("unsupported_algorithm", "Choose one of those listed in `allowed`, or other dtypes.");
        /// A name pattern cannot be read.
        InvalidPattern("invalid_pattern", "Write names with `*`, `?` and `[…]`, or a regular expression after `re:`.");
        /// A name pattern matches nothing in the model.
        UnmatchedPattern("unmatched_pattern", "Compare the pattern with the layers' names in the plan.");
        /// No rule asks for anything to be quantized.
        NothingToQuantize("nothing_to_quantize", "Add a rule with a dtype for weights or activations.");
        /// `quant_axis` asks for an axis that cannot be chosen here.
        UnsupportedQuantAxis("unsupported_quant_axis", "Leave `quant_axis` out: the axis follows from the layer.");
        /// Activations are to be quantized where the weights are not.
        ActivationsWithoutWeights("activations_without_weights", "Give the rule `weights` too, or take `activations` out.");
        /// Activations that no runtime multiplies such weights with, or that the result has no place for.
        UnsupportedActivations("unsupported_activations", "Give weights and activations that the hint names, or take `activations` out.");
        /// A device that does not exist.
        UnknownDevice("unknown_device", "Leave `device` out, or choose one of those listed in `allowed`.");
        /// The backend has no such option.
        UnknownBackendOption("unknown_backend_option", "Choose one of those listed in `allowed`; `GET /v1/backends` tells what each does.");
        /// Two options, or an option and a rule, that contradict each other.
        OptionConflict("option_conflict", "Remove one of the two.");
        /// Calibration data for a backend that has no calibration.
        CalibrationNotApplicable("calibration_not_applicable", "Remove `calibration`, or choose a backend that calibrates.");
        /// No calibration data for a backend that needs it.
        CalibrationMissing("calibration_missing", "Give `calibration` with samples for each input.");
        /// The model has no input of this name that could be what is asked for.
        UnknownInput("unknown_input", "Choose one of those listed in `allowed`.");
        /// A value is outside its range.
        OutOfRange("out_of_range", "Choose a value in the range that the message names.");
        /// A URI cannot be read or its scheme is not supported or not allowed.
        InvalidUri("invalid_uri", "See the message: the reason stands behind it in parentheses, and among the codes of failures.");
        /// The backend does not take models of this kind.
        UnsupportedModelFormat("unsupported_model_format", "Choose a backend that takes the model, or convert the model.");
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
    /// What to do about it: what was found for the case, or else the remedy of the code.
    #[serde(default)]
    pub hint: String,
    /// The values that would have been accepted, where they can be listed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed: Vec<String>,
}

impl Objection {
    /// An objection whose hint is the remedy of its code.
    pub fn new(pointer: impl Into<String>, code: ObjectionCode, message: impl Into<String>) -> Self {
        let hint = code.remedy().to_owned();
        Objection { pointer: pointer.into(), code, message: message.into(), hint, allowed: Vec::new() }
    }

    /// The same with a hint of its own.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// The same with the name that was probably meant, if one is near.
    #[must_use]
    pub fn near<'n>(self, name: &str, known: impl IntoIterator<Item = &'n str>) -> Self {
        match nearest(name, known).first() {
            Some(near) => self.hint(format!("did you mean `{near}`?")),
            None => self,
        }
    }

    /// The same with the values that would have been accepted.
    #[must_use]
    pub fn allowed<T: ToString>(mut self, allowed: impl IntoIterator<Item = T>) -> Self {
        self.allowed = allowed.into_iter().map(|a| a.to_string()).collect();
        self
    }
}
