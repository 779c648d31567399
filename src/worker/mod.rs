//! Workers: claim a task, stage its inputs, compute, publish, finish. A heartbeat runs beside it, and a janitor after all.
//!
//! One file a step: `work` (the loop) → `attempt` → `task` (`stage` → `compute`, `shard_pipeline` → `publish`) → `outcome`;
//! beside it `heartbeat` and `progress`; `cancel` is how an attempt is stopped, `scratch` where it works, `place` who
//! works beside it.

mod attempt;
mod cancel;
mod compute;
mod context;
mod heartbeat;
mod outcome;
mod output;
mod place;
mod plan;
mod progress;
mod publish;
mod retention;
mod scratch;
mod shard_pipeline;
mod stage;
mod task;
mod work;

pub use context::WorkerContext;
pub use place::ProcessLock;
pub use plan::dry_run;
pub use retention::{Janitor, Retention};
pub use scratch::sweep;
