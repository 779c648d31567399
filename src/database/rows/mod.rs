//! Rows as they come from either database, and what they mean.

mod claim;
mod event;
mod job;
mod json;
mod key;
mod row;
mod task;
mod webhook;

pub(super) use claim::NextTask;
pub(super) use event::{EventRow, event};
pub(super) use job::{JobRow, job};
pub(super) use json::{from_json, to_json};
pub(super) use key::{KeyRow, api_key};
pub(super) use task::TaskRow;
pub(super) use webhook::{DeliveryRow, WebhookRow, delivery, webhook};
