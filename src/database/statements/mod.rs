//! Every statement, once.
//!
//! `postgres.rs` and `sqlite.rs` each have this folder as a module of their own, and say there what `Db`, `Store` and
//! `DIALECT` are: the dialects differ in a few words, and sqlx's types in everything.
//!
//! Whoever needs more than one row locked takes a job's tasks in order, and the job's own row last: so no two wait for
//! each other.

mod change;
mod claim;
mod create;
mod events;
mod finish;
mod fleet;
mod jobs;
mod keys;
mod lost;

mod queue;
mod quotas;
mod shards;
mod tasks;
mod turns;
mod update;
mod upkeep;
mod webhooks;

use super::{Db, Store};

/// A transaction of this database.
type Tx = crate::database::tx::Tx<Db>;
