//! [`QuantizeSpec`]: the `quantize` section after parsing, every spelling canonical.

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::Pattern;
use crate::numeric::DType;

/// What is quantized: weights alone, or activations too with ranges found by calibration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Weights only; no data needed.
    WeightOnlyPtq,
    /// Weights and activations; activation ranges come from a calibration pass.
    StaticPtq,
}

impl Mode {
    /// Every mode; names are looked up among them.
    pub const ALL: [Mode; 2] = [Mode::WeightOnlyPtq, Mode::StaticPtq];

    /// The name in TAO Quant's vocabulary.
    pub fn name(self) -> &'static str {
        match self {
            Mode::WeightOnlyPtq => "weight_only_ptq",
            Mode::StaticPtq => "static_ptq",
        }
    }
}

/// The dtype of what is left as it is.
pub const NATIVE: &str = "native";

/// A dtype as a rule gives it: a format, or `native` for "leave it as it is".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Leave it as it is.
    Native,
    /// Quantize to this format.
    Quantize(DType),
}

impl Choice {
    /// The format, unless native.
    pub fn dtype(self) -> Option<DType> {
        match self {
            Choice::Native => None,
            Choice::Quantize(dtype) => Some(dtype),
        }
    }

    /// The name in TAO Quant's vocabulary.
    pub fn name(self) -> &'static str {
        self.dtype().map_or(NATIVE, |d| d.spec().name)
    }
}

impl Serialize for Choice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// What a rule says of the weights, or of the activations, of the layers that it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct TensorRule {
    /// The dtype of the codes, or `native`.
    pub dtype: Choice,
    /// TAO's `quant_axis`; null lets the backend choose.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quant_axis: Option<i64>,
    /// Of activations: whether their scale is computed of each tensor as the model runs, so that nothing is calibrated.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dynamic: bool,
}

/// One entry of `layers`.
#[derive(Clone, Debug, Serialize)]
pub struct LayerRule {
    /// The layers that it is for, by name or class.
    pub module_name: Pattern,
    /// What to do with their weights; `None` leaves earlier rules standing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights: Option<TensorRule>,
    /// What to do with their activations; `None` leaves earlier rules standing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activations: Option<TensorRule>,
    /// The calibration algorithm of their activations, as given; `None` leaves earlier rules and the section's standing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<String>,
    /// JSON pointer to the rule in the request, or to the name that stands for it.
    #[serde(skip)]
    pub pointer: String,
    /// Whether the request has but a name that stands for the rule.
    #[serde(skip)]
    pub expanded: bool,
}

impl LayerRule {
    /// The pointer of one of the rule's fields, or of what stands for it in the request.
    pub fn at(&self, field: &str) -> String {
        if self.expanded {
            return self.pointer.clone();
        }
        format!("{}/{field}", self.pointer)
    }
}

/// The `quantize` section. Backend and algorithm are names still: only the backends know which exist.
#[derive(Clone, Debug, Serialize)]
pub struct QuantizeSpec {
    /// The backend's name as given, or `torchao`, TAO's default.
    pub backend: String,
    /// The mode, if given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// The calibration algorithm's name, if given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<String>,
    /// The rules, in order: the last one that matches wins, for weights and activations separately.
    pub layers: Vec<LayerRule>,
    /// Layers left as they are, whatever the rules say.
    pub skip_names: Vec<Pattern>,
    /// cosmos-reason's `num_calibration_samples`: the most samples where the job's `calibration` does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_calibration_samples: Option<u32>,
    /// Options of the backend.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub backend_kwargs: Map<String, Value>,
    /// Whether patterns may match nothing.
    pub allow_unmatched: bool,
    /// JSON pointer to the section in the request.
    #[serde(skip)]
    pub pointer: String,
}

impl QuantizeSpec {
    /// The section found at `pointer` before any of it is read.
    pub(super) fn empty(pointer: &str) -> Self {
        QuantizeSpec {
            backend: String::new(),
            mode: None,
            algorithm: None,
            layers: Vec::new(),
            skip_names: Vec::new(),
            num_calibration_samples: None,
            backend_kwargs: Map::new(),
            allow_unmatched: false,
            pointer: pointer.to_owned(),
        }
    }

    /// The pointer of one of the section's fields.
    pub fn at(&self, field: &str) -> String {
        format!("{}/{field}", self.pointer)
    }
}
