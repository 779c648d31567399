//! Artifacts for those who serve them: the port [`ArtifactReader`].

use std::{io, ops::Range};

use async_trait::async_trait;
use futures_util::StreamExt;
use object_store::{Error, GetOptions, GetRange, path::Path as Key, signer::SignedUrlOptions};
use ureq::http::Method;

use super::store::{Artifacts, Kind};
use crate::{
    job::{ArtifactBody, ArtifactError, ArtifactReader},
    storage::places::{ReadError, read_error},
};

#[async_trait]
impl ArtifactReader for Artifacts {
    async fn read(&self, key: &str, range: Option<Range<u64>>) -> Result<ArtifactBody, ArtifactError> {
        let options = GetOptions { range: range.map(GetRange::Bounded), ..GetOptions::default() };
        let got = self.store().get_opts(&Key::from(key), options).await;
        let got = got.map_err(|error| match read_error(error) {
            ReadError::NotFound => ArtifactError::Gone { key: key.to_owned() },
            error => ArtifactError::Store(Box::new(error.at(key))),
        })?;
        Ok(Box::pin(got.into_stream().map(|part| part.map_err(io::Error::other))))
    }

    async fn link(&self, key: &str, name: &str) -> Result<Option<String>, ArtifactError> {
        let (Kind::Bucket(bucket), Some(time)) = (&self.kind, self.links) else { return Ok(None) };
        let key = Key::from(key);
        let disposition = format!("attachment; filename=\"{}\"", name.replace(['"', '\\'], "_"));
        let options = SignedUrlOptions::new().with_query([("response-content-disposition", disposition)]);
        let signed = match bucket.signer.signed_url_opts(Method::GET, &key, time, &options).await {
            // A store whose signature covers nothing of the kind.
            Err(Error::NotSupported { .. }) => bucket.signer.signed_url(Method::GET, &key, time).await,
            other => other,
        };
        signed.map(|url| Some(url.to_string())).map_err(|e| ArtifactError::Store(Box::new(e)))
    }

    async fn remove(&self, prefix: &str) {
        self.discard(prefix).await;
    }

    async fn check(&self) -> Result<(), ArtifactError> {
        // A listing of nothing: the store answers, and takes our credentials.
        let probe = Key::from("readyz");
        self.store().list_with_delimiter(Some(&probe)).await.map(drop).map_err(|e| ArtifactError::Store(Box::new(e)))
    }
}
