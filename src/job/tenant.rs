//! [`Tenant`]: whose a job is.

use std::{fmt, str::FromStr};

/// Whose a job is. Nobody sees another tenant's jobs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tenant(String);

/// A text that no tenant is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a tenant's name has 1 to 64 letters, digits, dots, dashes or underscores")]
pub struct ParseTenantError;

impl Tenant {
    /// The tenant's name as keys, tokens and rows have it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The one tenant of a server without authentication.
impl Default for Tenant {
    fn default() -> Self {
        Tenant("default".to_owned())
    }
}

impl FromStr for Tenant {
    type Err = ParseTenantError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        let valid = (1..=64).contains(&text.len()) && text.bytes().all(plain);
        valid.then(|| Tenant(text.to_owned())).ok_or(ParseTenantError)
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_plain() {
        for good in ["default", "Team-A_1.x"] {
            assert_eq!(good.parse::<Tenant>().unwrap().as_str(), good);
        }
        for bad in ["", "a b", "a/b", "ä", &"x".repeat(65)] {
            assert_eq!(bad.parse::<Tenant>(), Err(ParseTenantError));
        }
    }
}
