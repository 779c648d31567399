//! How the elements of a weight become codes and scales. An encoder is a file here and a row of [`ENCODERS`].

mod encoder;
mod round_to_nearest;

pub(super) use encoder::{EncodedPart, Known};

pub(in crate::backend) use self::encoder::Encoder;
use self::round_to_nearest::RoundToNearest;

/// Every encoder, the default first.
pub(super) static ENCODERS: [&dyn Encoder; 1] = [&RoundToNearest];
