//! Who may do what: API keys, their scopes, and the port to where keys are stored.
//!
//! Plain data and rules. Knows nothing of SQL or HTTP.

mod key;
mod scope;
mod store;
mod token;

pub use key::{ApiKey, KeySecret, ParseKeyError};
pub use scope::{Scope, Scopes};
pub use store::KeyStore;
pub use token::TokenReader;

use crate::job::Tenant;

/// The caller of a request: what a key, a token, or an open server makes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The tenant whose jobs the caller sees.
    pub tenant: Tenant,
    /// What the caller may do.
    pub scopes: Scopes,
    /// Who the caller is within the tenant, for logs and rate limits: a key's id or a token's subject.
    pub subject: String,
}

impl Identity {
    /// The caller in one word.
    pub fn caller(&self) -> String {
        format!("{}/{}", self.tenant, self.subject)
    }

    /// Anyone who talks to a server without authentication.
    pub fn anybody() -> Self {
        Identity { tenant: Tenant::default(), scopes: Scopes::all(), subject: "anybody".to_owned() }
    }
}
