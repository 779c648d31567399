//! How the elements of a weight become codes and scales. An encoder is a file here and a row of [`ENCODERS`].

mod encoder;
mod option;
mod round_to_nearest;

pub(super) use encoder::{EncodedPart, Known};

use self::round_to_nearest::RoundToNearest;
pub(in crate::backend) use self::{encoder::Encoder, option::ENCODER};

/// Every encoder, in the order in which they are listed to users.
static ENCODERS: [&dyn Encoder; 1] = [DEFAULT];

/// The encoder of weights for which none is asked.
pub(super) const DEFAULT: &dyn Encoder = &RoundToNearest;
