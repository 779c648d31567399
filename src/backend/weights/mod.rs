//! Weights on their way from the model to the result: scheme → encoder → encoding → stream.
//!
//! [`WeightScheme`] says how a weight is quantized, an [`Encoder`] turns its elements into codes and
//! scales, [`EncodedWeight`] says where these go, and a [`Stream`] carries them there part by part. Knows nothing of
//! checkpoints or graphs.

mod encoders;
mod encoding;
mod scheme;
mod stream;

pub(super) use self::{
    encoders::{ENCODER, Encoder},
    encoding::{EncodedWeight, Runs, ZeroPoints},
    scheme::WeightScheme,
    stream::{Buffers, Sink, Stream, Unchanged, Weight},
};
