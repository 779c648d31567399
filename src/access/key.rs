//! [`ApiKey`] and the secret that its holder has.

use std::{fmt, str::FromStr};

use super::Scopes;
use crate::{
    digest::{hex, sha256_hex},
    job::Tenant,
};

/// An API key as it is stored. Times are milliseconds since 1970 by the database's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Its id, also the part of the secret that may be shown.
    pub id: String,
    /// Whose jobs it opens.
    pub tenant: Tenant,
    /// A name for people.
    pub name: String,
    /// What it may do.
    pub scopes: Scopes,
    /// When it was made.
    pub created_at: i64,
    /// When it stops working; never if `None`.
    pub expires_at: Option<i64>,
    /// When it was revoked.
    pub revoked_at: Option<i64>,
    /// When it was used last, to the minute.
    pub last_used_at: Option<i64>,
}

/// What the holder of a key sends: `ptqd_<id>_<secret>`, 256 random bits in hexadecimal. It is shown once and stored nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct KeySecret {
    id: String,
    secret: String,
}

/// A text that is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an API key")]
pub struct ParseKeyError;

impl KeySecret {
    /// A key from random bytes: six for the id, the rest for the secret.
    pub fn new(random: [u8; 38]) -> Self {
        KeySecret { id: hex(&random[..6]), secret: hex(&random[6..]) }
    }

    /// The part that may be shown, by which the key is found.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What is stored of it. The secret is random and long, so a plain digest is as good as a slow one.
    pub fn hash(&self) -> String {
        sha256_hex(self.reveal().as_bytes())
    }

    /// The whole key, for its holder.
    pub fn reveal(&self) -> String {
        format!("ptqd_{}_{}", self.id, self.secret)
    }
}

/// Never the secret: it would end in a log.
impl fmt::Debug for KeySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ptqd_{}_…", self.id)
    }
}

impl FromStr for KeySecret {
    type Err = ParseKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let hex = |part: &str, length: usize| {
            part.len() == length && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        };
        let (id, secret) = text.strip_prefix("ptqd_").and_then(|rest| rest.split_once('_')).ok_or(ParseKeyError)?;
        let valid = hex(id, 12) && hex(secret, 64);
        valid.then(|| KeySecret { id: id.to_owned(), secret: secret.to_owned() }).ok_or(ParseKeyError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_parses_back_and_hides_its_secret() {
        let key = KeySecret::new([0xab; 38]);
        let text = key.reveal();
        assert_eq!(text.parse(), Ok(key.clone()));
        assert_eq!(key.hash().len(), 64);
        assert!(!format!("{key:?}").contains(&"ab".repeat(20)));
        for wrong in ["", "ptqd_", "ptqd_ab_cd", &text[1..], &text[..text.len() - 1], &text.to_uppercase()] {
            assert_eq!(wrong.parse::<KeySecret>(), Err(ParseKeyError), "{wrong}");
        }
    }
}
