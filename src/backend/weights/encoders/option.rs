//! The option that chooses an encoder, which every backend that encodes weights lists among its own.

use serde_json::Value;

use super::{DEFAULT, ENCODERS, Encoder};
use crate::backend::options::{Form, OptionKind, Setting};

/// The encoder of all weights of a job.
pub(in crate::backend) static ENCODER: Setting<EncoderName> = Setting {
    name: "encoder",
    summary: "what turns weights into codes; `round_to_nearest` takes the code nearest to each element",
    form: EncoderName,
    default: DEFAULT,
};

/// The encoders by name.
#[derive(Debug)]
pub(in crate::backend) struct EncoderName;

impl Form for EncoderName {
    type Value = &'static dyn Encoder;

    fn kind(&self) -> OptionKind {
        OptionKind::OneOf(ENCODERS.iter().map(|encoder| encoder.name()).collect())
    }

    fn parse(&self, value: &Value) -> Option<Self::Value> {
        let name = value.as_str()?;
        ENCODERS.into_iter().find(|encoder| encoder.name() == name)
    }

    fn text(&self, value: Self::Value) -> String {
        value.name().to_owned()
    }
}
