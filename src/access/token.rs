//! [`TokenReader`]: the port to the verifier of an OpenID provider's tokens.

use async_trait::async_trait;

use super::Identity;

/// Reads tokens of an OpenID provider.
#[async_trait]
pub trait TokenReader: std::fmt::Debug + Send + Sync {
    /// Whose token it is; `Err` says why it is not accepted, in words that its holder may see.
    async fn read(&self, token: &str) -> Result<Identity, String>;
}
