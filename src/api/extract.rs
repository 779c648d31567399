//! Extractors that several handlers share; what they reject is a problem.

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Query, Request},
    http::request::Parts,
};
use serde::de::DeserializeOwned;

use super::{error::ApiError, plain_words, request};

/// The parameters of the query.
#[derive(Debug)]
pub(super) struct Params<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let read = Query::from_request_parts(parts, state).await;
        let Query(params) =
            read.map_err(|e| ApiError::Malformed { detail: plain_words::of_fields(&e.body_text()), pointer: None })?;
        Ok(Params(params))
    }
}

/// A body of JSON, read as a type; what does not fit is named by its place.
#[derive(Debug)]
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let headers = request.headers().clone();
        let bytes = Bytes::from_request(request, state).await;
        request::typed(request::json_body(&headers, bytes)?).map(Body)
    }
}
