//! The `quantize` section of a job, in the vocabulary of NVIDIA's TAO Quant, and the plan it makes for a model.
//!
//! Parsing collects every objection instead of stopping at the first. What a backend can do is not known here: it
//! comes in as the inventory's [`Support`] and is checked by the backend itself.

mod document;
mod layer;
mod matches;
mod objection;
mod parse;
mod pattern;
mod plan;
mod presets;
mod quantize;
mod reader;
mod reason;
mod resolve;
mod rule;
mod suggest;
mod tao;
mod wrong_type;

pub use document::{find_section, parse_text};
pub use layer::{Layer, Support};
pub use objection::{Objection, ObjectionCode, pointer_token};
pub use parse::{Parsed, parse};
pub use pattern::{Pattern, PatternError};
pub use plan::{Decision, LayerPlan, PatternUse, Plan};
pub use presets::{PRESET_BACKEND, PRESETS, Preset};
pub use quantize::{Choice, LayerRule, Mode, NATIVE, QuantizeSpec, TensorRule};
pub use reader::{Object, Reader};
pub use reason::Reason;
pub use resolve::{Resolved, resolve};
pub use suggest::nearest;

pub use crate::fault::Warning;
