//! Where the result's errors come from: each layer's output beside the original's, and what single layers cost.
//!
//! One session computes the prepared graph with a change at every input that the result has in low precision. With all
//! changes off it is the original, with all on the result, and with some on what the result would be without the rest. The
//! changes run the same arithmetic as the file, by our own code; a test holds the two against each other.

mod compare;
mod fake_quant;
mod probe;
mod run;
mod search;
mod study;
mod subject;

pub(super) use run::study;
pub(super) use subject::{QuantizedInput, QuantizedInputKind, Subject};
