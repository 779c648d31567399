//! What clients bring to the service itself.

mod account;
mod body;
mod store;

pub(in crate::storage) use account::Accounts;
