//! [`Rule`]: which places inputs may come from, and for whom.

use std::str::FromStr;

use crate::job::Tenant;

/// One place that is open: `[TENANT=]URI`, everything at or below the URI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Whom it is open to; everybody without it.
    tenant: Option<Tenant>,
    /// The beginning of a URI, as `Location::canonical` spells it.
    prefix: String,
}

/// A text that is no rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not [TENANT=]URI, such as s3://models/ or team-a=s3://team-a-models/")]
pub struct ParseRuleError(String);

impl FromStr for Rule {
    type Err = ParseRuleError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || ParseRuleError(text.to_owned());
        let scheme = text.find("://").ok_or_else(wrong)?;
        let (tenant, prefix) = match text[..scheme].split_once('=') {
            Some((tenant, _)) => (Some(tenant.parse().map_err(|_| wrong())?), &text[tenant.len() + 1..]),
            None => (None, text),
        };
        let known = super::location::SCHEMES.contains(&prefix.split("://").next().unwrap_or_default());
        let local = prefix.starts_with("file:") || prefix.starts_with("upload:");
        (known && !local).then(|| Rule { tenant, prefix: prefix.to_owned() }).ok_or_else(wrong)
    }
}

impl Rule {
    /// Whether it opens a place to a tenant. A prefix ends between names, never within one: `s3://models` does not open
    /// `s3://models-of-others`.
    pub(super) fn opens(&self, tenant: &Tenant, place: &str) -> bool {
        let rest = place.strip_prefix(&self.prefix);
        let whole = rest.is_some_and(|rest| rest.is_empty() || self.prefix.ends_with('/') || rest.starts_with('/'));
        whole && self.tenant.as_ref().is_none_or(|named| named == tenant)
    }
}

impl Rule {
    /// Whether it names a host, and not just a scheme.
    pub(super) fn names_host(&self) -> bool {
        self.prefix.split_once("://").is_some_and(|(_, rest)| !rest.trim_matches('/').is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_opens_what_is_below_it_to_those_it_names() {
        let (all, team): (Rule, Rule) = ("s3://models".parse().unwrap(), "a=s3://team-a/x/".parse().unwrap());
        let (a, b): (Tenant, Tenant) = ("a".parse().unwrap(), "b".parse().unwrap());
        assert!(all.opens(&b, "s3://models/m.onnx"));
        assert!(!all.opens(&b, "s3://models-of-others/m.onnx"));
        assert!(team.opens(&a, "s3://team-a/x/m.onnx"));
        assert!(!team.opens(&b, "s3://team-a/x/m.onnx"));
        assert!(!team.opens(&a, "s3://team-a/xy/m.onnx"));
        assert!(!"https://".parse::<Rule>().unwrap().names_host() && all.names_host());
        assert!("hf://".parse::<Rule>().unwrap().opens(&a, "hf://owner/name/"));
        for wrong in ["", "models", "s3:models", "a b=s3://x", "ftp://x", "file:///x", "=s3://x", "upload://x"] {
            assert!(wrong.parse::<Rule>().is_err(), "{wrong}");
        }
    }
}
