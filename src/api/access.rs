//! Who asks: API keys and tokens in `Authorization: Bearer …`, and what each handler wants of them.

use std::sync::Arc;

use axum::{
    extract::{FromRequestParts, Request, State},
    http::{header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use subtle::ConstantTimeEq;

use super::{error::ApiError, state::ApiState};
use crate::{
    access::{Identity, KeySecret, KeyStore, Scope, TokenReader},
    job::Tenant,
};

/// Who may come in.
#[derive(Clone, Debug)]
pub enum Access {
    /// Anybody.
    Open,
    /// Holders of keys and, where there is a reader, of tokens.
    Keys(Arc<dyn KeyStore>, Option<Arc<dyn TokenReader>>),
}

impl Access {
    async fn identify(&self, bearer: Option<&str>) -> Result<Identity, ApiError> {
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

/// Finds out who asks, for the handlers and the rate limit. One who is nobody is turned away by the handlers that want
/// somebody: the page, the documents and the probes want nobody.
pub(super) async fn identify(State(state): State<ApiState>, mut request: Request, next: Next) -> Response {
    let bearer = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let bearer = bearer.and_then(|value| value.strip_prefix("Bearer ").or_else(|| value.strip_prefix("bearer ")));
    let who = match state.access.identify(bearer.map(str::trim)).await {
        Ok(who) => who,
        Err(error @ ApiError::Unauthorized { .. }) => {
            request.extensions_mut().insert(Arc::new(error));
            return next.run(request).await;
        }
        Err(error) => return error.into_response(),
    };
    let left = match state.limits.as_ref().map(|limits| limits.take(&who)).transpose() {
        Ok(left) => left,
        Err(wait) => return ApiError::RateLimited { wait }.into_response(),
    };
    request.extensions_mut().insert(who);
    let mut response = next.run(request).await;
    if let Some(left) = left {
        left.write(response.headers_mut());
    }
    response
}

fn allowed(parts: &Parts, wanted: Scope) -> Result<Identity, ApiError> {
    if let Some(error) = parts.extensions.get::<Arc<ApiError>>() {
        return Err(ApiError::Unauthorized { why: error.to_string() });
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
    /// One who may do everything.
    Admin: Scope::Admin;
}
