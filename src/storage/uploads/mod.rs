//! What clients bring to the service itself.

mod body;
mod store;
