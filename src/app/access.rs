//! Who may use the API, and how often.

use std::{num::NonZeroU32, sync::Arc};

use super::resources::Resources;
use crate::{
    api::{Access, Limits},
    config::{AccessConfig, ServeConfig},
    outbound::OpenId,
};

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
