//! Where strangers' files are parsed and run: a process of its own for each job and each plan, which gives up what it does
//! not need before it reads them.
//!
//! A model is a program. One that crashes, hangs or eats memory takes its own process with it and nothing else. The parent
//! side is [`Compute`] (`pool` keeps a child waiting, `cell` holds one, `drive` talks to it, `verdict` says what its end
//! means, `believe` checks what it says); the child's side is [`child`], confined by `confine`. `protocol` and `frame` are
//! what they say to each other, `work` is what is computed, the same in a child and, with isolation off, in this process.

mod believe;
mod cell;
pub mod child;
mod confine;
mod drive;
mod frame;
mod isolation;
mod limits;
mod look;
mod pool;
mod probe;
mod protocol;
mod request;
mod verdict;
mod work;

pub use drive::Shards;
pub use isolation::IsolationReport;
pub use pool::{Compute, ComputeSettings};
pub use probe::Attempt;
pub use request::{ComputeError, Done, Files, Output, Request, Work};
