//! What is kept of the values that a tensor has while data runs through a network. One observer a file.

mod activation;
mod histogram;
mod padding;
mod range;
mod sides;
mod statistics;

pub use activation::{Activation, Observer};
pub use histogram::Histogram;
pub use padding::Mask;
pub use range::Range;
pub use sides::Sides;
pub use statistics::{Keep, Statistics};
