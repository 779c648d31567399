//! How a long computation and the one who started it talk: progress outwards, cancellation and limits inwards.
//!
//! Near a leaf, so that backends and pipeline share it. Knows nothing of queues, terminals or threads.

mod canceller;
mod handle;
mod memory;
mod notice;
mod phase;

pub use canceller::{CancelHook, Cancelled, Canceller};
pub use handle::{Control, PhaseMeter};
pub use memory::{MemoryBudget, OverBudget, Reservation};
pub use notice::{Notice, Progress};
pub use phase::Phase;
