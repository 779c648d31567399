//! Requests that the service makes by itself: to webhooks, and to the OpenID provider. Every address is looked at before
//! anything is sent to it.

mod guard;
mod hooks;
mod oidc;

pub use guard::Guard;
pub use hooks::Sender;
pub use oidc::OpenId;
