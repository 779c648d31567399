//! Who may use the API, and how often.

use std::{num::NonZeroU32, sync::Arc};

use super::{http::connections, resources::Resources};
use crate::{
    api::{Access, Failures, Limits, Shares},
    config::{AccessConfig, HttpConfig, ServeConfig},
    outbound::OpenId,
};

/// Wrong credentials a minute of each address, where nothing else is set.
const FAILURES: u32 = 20;
/// Requests a second of each key, where nothing else is set.
const RATE: u32 = 100;

/// Anybody, if the operator says so or if this machine alone can ask; else the holders of keys and tokens, to a limit.
pub(super) fn access(config: &ServeConfig, resources: &Resources) -> (Access, Option<Arc<Limits>>) {
    let AccessConfig { no_auth, oidc_issuer, oidc_audience, oidc_tenant_claim, rate_limit, .. } = &config.access;
    let alone = resources.embedded() && config.listen.ip().is_loopback();
    let tokens = oidc_issuer.as_ref().zip(oidc_audience.as_ref());
    let limit = |per_second: u32| NonZeroU32::new(per_second).map(|limit| Arc::new(Limits::new(limit)));
    if *no_auth || (alone && tokens.is_none()) {
        return (Access::Open, rate_limit.and_then(limit));
    }
    let tokens = tokens.map(|(issuer, audience)| Arc::new(OpenId::new(issuer, audience, oidc_tenant_claim)) as _);
    (Access::Keys(Arc::clone(&resources.database.keys), tokens), limit(rate_limit.unwrap_or(RATE)))
}

/// Where wrong credentials are counted; nowhere, where none are needed.
pub(super) fn failures(config: &ServeConfig, access: &Access) -> Option<Arc<Failures>> {
    let most = config.access.auth_failures.unwrap_or(FAILURES);
    matches!(access, Access::Keys(..)).then(|| Arc::new(Failures::new(most)))
}

/// No tenant has more than half of the connections; where nobody is known, the limit by address must do.
pub(super) fn answers(config: &HttpConfig, access: &Access) -> Option<Arc<Shares>> {
    let most = connections(config).total.div_ceil(2);
    matches!(access, Access::Keys(..)).then(|| Arc::new(Shares::new(most)))
}

/// Says so where there are keys and none is needed: whoever made them may think otherwise.
pub(super) async fn warn_of_keys(access: &Access, resources: &Resources) {
    let open = matches!(access, Access::Open);
    if open && resources.database.keys.keys(None).await.is_ok_and(|keys| !keys.is_empty()) {
        tracing::warn!(
            "there are API keys, and this server needs none: it listens to this machine alone, or --no-auth is given"
        );
    }
}
