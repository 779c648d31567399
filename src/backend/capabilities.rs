//! [`Capabilities`]: what a backend says of itself.

use super::options::BackendOption;
use crate::{calibration::CALIBRATORS, numeric::DType, spec::Mode};

/// What a backend can do, for the catalogue and the validator.
#[derive(Debug)]
pub struct Capabilities {
    /// The name that users type.
    pub name: &'static str,
    /// TAO Quant's other spellings of it.
    pub aliases: &'static [&'static str],
    /// What it is, in a sentence.
    pub summary: &'static str,
    /// The one mode it has.
    pub mode: Mode,
    /// Names of the model formats it takes.
    pub formats: &'static [&'static str],
    /// The dtypes it gives to weights.
    pub weight_dtypes: &'static [DType],
    /// The dtypes it gives to activations; none if it has no calibration.
    pub activation_dtypes: &'static [DType],
    /// Those that it gives to activations whose scales are computed as the model runs; where it has no calibration, it only
    /// declares them to the runtime.
    pub dynamic_dtypes: &'static [DType],
    /// Keys of `backend_kwargs`, sorted by name.
    pub options: &'static [&'static dyn BackendOption],
    /// Whether it runs models, and so needs the ONNX engine's library.
    pub needs_engine: bool,
}

impl Capabilities {
    /// Whether it needs calibration data.
    pub fn calibrates(&self) -> bool {
        !self.activation_dtypes.is_empty()
    }

    /// The calibration algorithms it knows, the default first.
    pub fn algorithms(&self) -> Vec<&'static str> {
        CALIBRATORS.iter().filter(|_| self.calibrates()).map(|row| row.name).collect()
    }
}
