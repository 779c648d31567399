//! What requests pass through on their way to a handler, and answers on their way back.
//!
//! Layers of tower and tower-http where there is one for the purpose. What a layer refuses becomes a problem document like
//! any other error.

mod around;
mod body_limit;
mod compression;
mod cors;
mod foreign;
mod headers;
mod identify;
mod load;
mod observe;
mod pace;
mod problem_body;
mod refuse;
mod request_id;
mod settings;

pub(super) use around::around;
pub(super) use body_limit::small_bodies;
pub use cors::{CorsOrigins, OriginError};
pub(super) use headers::not_stored;
pub(super) use load::{load_shedding, time_limit};
pub use pace::Pace;
pub(super) use pace::too_slow;
pub use settings::HttpSettings;
