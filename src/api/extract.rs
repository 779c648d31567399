//! Extractors that several handlers share; what they reject is a problem.

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::request::Parts,
};
use serde::de::DeserializeOwned;

use super::{error::ApiError, plain_words, request};
use crate::spec::{Object, Reader};

/// The parameters of the query.
#[derive(Debug)]
pub(super) struct Params<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let read = Query::from_request_parts(parts, state).await;
        let Query(params) = read.map_err(|e| ApiError::Malformed { detail: plain_words::of_query(&e.body_text()) })?;
        Ok(Params(params))
    }
}

/// The parameters of the path. A path whose parameters are not text names nothing.
#[derive(Debug)]
pub(super) struct PathParams<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for PathParams<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let read = Path::from_request_parts(parts, state).await;
        let Path(params) = read.map_err(|_| ApiError::NotFound { what: "such path" })?;
        Ok(PathParams(params))
    }
}

/// What a body of JSON is read as.
pub(super) trait FromBody: Sized {
    /// Reads it field by field; what is wrong is objected to, and stands for nothing in the result.
    fn read(reader: &mut Reader, body: &Object<'_>) -> Self;
}

/// A body of JSON without a fault; everything that is wrong is said at once.
#[derive(Debug)]
pub(super) struct Body<T>(pub(super) T);

impl<T: FromBody, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let headers = request.headers().clone();
        let bytes = Bytes::from_request(request, state).await;
        let body = request::json_body(&headers, bytes)?;
        let mut reader = Reader::default();
        let read = reader.object(&body, "").map(|body| T::read(&mut reader, &body));
        match read {
            Some(read) if reader.objections.is_empty() => Ok(Body(read)),
            _ => Err(ApiError::Invalid(reader.objections)),
        }
    }
}
