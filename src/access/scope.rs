//! [`Scope`]: what a key may do.

use std::{collections::BTreeSet, fmt, str::FromStr};

use serde::Deserialize;

/// What a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub enum Scope {
    /// Look at jobs, reports and artifacts.
    JobsRead,
    /// Plan, create, cancel, retry and delete jobs, and manage webhooks.
    JobsWrite,
    /// Everything of the tenant, keys included.
    Admin,
    /// Besides, what is of all tenants: the metrics. Given by the command alone.
    Operator,
}

impl Scope {
    /// Every scope, each including those before it.
    pub const ALL: [Scope; 4] = [Scope::JobsRead, Scope::JobsWrite, Scope::Admin, Scope::Operator];

    /// Those that a tenant may give, and a token may have.
    pub const OF_TENANT: [Scope; 3] = [Scope::JobsRead, Scope::JobsWrite, Scope::Admin];

    /// The name that users type.
    pub fn name(self) -> &'static str {
        match self {
            Scope::JobsRead => "jobs:read",
            Scope::JobsWrite => "jobs:write",
            Scope::Admin => "admin",
            Scope::Operator => "operator",
        }
    }
}

impl TryFrom<String> for Scope {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = || Scope::ALL.map(Scope::name).join(", ");
        let found = Scope::ALL.into_iter().find(|scope| scope.name() == text);
        found.ok_or_else(|| format!("`{text}` is no scope; there are {}", names()))
    }
}

/// Some scopes. Each includes those before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scopes(BTreeSet<Scope>);

impl Scopes {
    /// Those of a caller who may do everything.
    pub fn all() -> Self {
        Scopes(Scope::ALL.into())
    }

    /// Whether they allow something.
    pub fn allow(&self, wanted: Scope) -> bool {
        self.0.iter().any(|&scope| scope >= wanted)
    }

    /// The same without what is of all tenants.
    #[must_use]
    pub fn of_tenant(self) -> Self {
        Scopes(self.0.into_iter().filter(|scope| Scope::OF_TENANT.contains(scope)).collect())
    }

    /// The names, sorted as in [`Scope::ALL`].
    pub fn names(&self) -> Vec<&'static str> {
        self.0.iter().map(|scope| scope.name()).collect()
    }

    /// Those that a text names, between spaces or commas; what is no scope of ours is passed over, as OAuth wants it.
    pub fn known(text: &str) -> Self {
        Scopes(text.split([' ', ',']).filter_map(|name| name.parse().ok()).collect())
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Scopes(scopes.into_iter().collect())
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names().join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_includes_those_before_it() {
        let write: Scopes = Scopes::known("jobs:write,other");
        assert!(write.allow(Scope::JobsRead) && write.allow(Scope::JobsWrite) && !write.allow(Scope::Admin));
        assert!(!Scopes::known("jobs:read").allow(Scope::JobsWrite));
        assert!(!Scopes::default().allow(Scope::JobsRead));
        assert_eq!(Scopes::all().to_string(), "jobs:read jobs:write admin operator");
        assert!(!Scopes::known("admin operator").of_tenant().allow(Scope::Operator));
        assert!("root".parse::<Scope>().is_err());
    }
}
