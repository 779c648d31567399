//! Who asks: API keys and tokens in `Authorization: Bearer …`, and what each handler wants of them.

use std::sync::Arc;

use axum::{extract::FromRequestParts, http::request::Parts};
use subtle::ConstantTimeEq;

use super::error::ApiError;
use crate::{
    access::{Identity, KeySecret, KeyStore, Scope, TokenReader},
    job::Tenant,
};

/// Who may come in.
#[derive(Clone, Debug)]
pub enum Access {
    /// Anybody, with no credentials, as the default tenant with every scope.
    Open,
    /// Holders of keys and, where there is a reader, of tokens.
    Keys(Arc<dyn KeyStore>, Option<Arc<dyn TokenReader>>),
}

impl Access {
    /// Who holds this bearer token; anybody where the server is open.
    pub(super) async fn identify(&self, bearer: Option<&str>) -> Result<Identity, ApiError> {
        let Access::Keys(keys, tokens) = self else { return Ok(Identity::anybody()) };
        let denied = |why: &str| ApiError::Unauthorized { why: why.to_owned() };
        let bearer = bearer.ok_or_else(|| denied("an API key is needed: `Authorization: Bearer ptqd_…`"))?;
        let Ok(secret) = bearer.parse::<KeySecret>() else {
            let Some(tokens) = tokens else { return Err(denied("this is no API key")) };
            return tokens.read(bearer).await.map_err(|why| ApiError::Unauthorized { why });
        };
        let unknown = || denied("the API key is unknown, revoked or expired");
        let (key, hash) = keys.use_key(secret.id()).await?.ok_or_else(unknown)?;
        if !bool::from(hash.as_bytes().ct_eq(secret.hash().as_bytes())) {
            return Err(unknown());
        }
        Ok(Identity { tenant: key.tenant, scopes: key.scopes, subject: key.id })
    }
}

fn allowed(parts: &Parts, wanted: Scope) -> Result<Identity, ApiError> {
    if let Some(error) = parts.extensions.get::<Arc<ApiError>>() {
        return Err(match **error {
            ApiError::Throttled { wait } => ApiError::Throttled { wait },
            _ => ApiError::Unauthorized { why: error.to_string() },
        });
    }
    let who = parts.extensions.get::<Identity>().ok_or(ApiError::Internal)?;
    if !who.scopes.allow(wanted) {
        return Err(ApiError::Forbidden { scope: wanted.name() });
    }
    Ok(who.clone())
}

/// One extractor for each scope.
macro_rules! extractors {
    ($($(#[$doc:meta])* $name:ident: $scope:expr;)*) => { $(
        $(#[$doc])*
        #[derive(Debug)]
        pub(super) struct $name(pub(super) Identity);

        impl $name {
            /// Whose jobs are meant.
            pub(super) fn tenant(&self) -> &Tenant {
                &self.0.tenant
            }
        }

        impl<S: Sync> FromRequestParts<S> for $name {
            type Rejection = ApiError;

            async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
                allowed(parts, $scope).map($name)
            }
        }
    )* };
}

extractors! {
    /// One who may look at jobs.
    Reader: Scope::JobsRead;
    /// One who may make and change jobs.
    Writer: Scope::JobsWrite;
    /// One who may do everything of a tenant.
    Admin: Scope::Admin;
}

/// One who may look at what is of all tenants.
#[derive(Debug)]
pub(super) struct Operator;

impl<S: Sync> FromRequestParts<S> for Operator {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        allowed(parts, Scope::Operator).map(|_| Operator)
    }
}
