//! [`OpenId`]: tokens of an OpenID provider (JWT, RFC 7519; keys by its discovery document and JWKS, RFC 7517).
//!
//! Two algorithms, RS256 and ES256; what a token says of its algorithm is compared with its key's, never believed.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use serde::Deserialize;
use serde_json::Value;
use ureq::Agent;

use super::Guard;
use crate::{
    access::{Identity, Scopes, TokenReader},
    panics::blocking,
};

/// How long the provider's keys are believed.
const KEYS_LAST: Duration = Duration::from_secs(600);
/// How soon they are fetched again for a token of an unknown key.
const FETCH_PAUSE: Duration = Duration::from_secs(10);
/// How far the clocks may differ, in seconds.
const LEEWAY: f64 = 60.0;

/// A public key of the provider.
#[derive(Clone, Debug, Deserialize)]
struct Key {
    #[serde(default)]
    kid: Option<String>,
    kty: String,
    #[serde(default)]
    crv: Option<String>,
    #[serde(default)]
    n: Option<String>,
    #[serde(default)]
    e: Option<String>,
    #[serde(default)]
    x: Option<String>,
    #[serde(default)]
    y: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: Option<String>,
}

/// Tokens of one provider.
#[derive(Debug)]
pub struct OpenId {
    issuer: String,
    audience: String,
    tenant_claim: String,
    agent: Agent,
    keys: std::sync::Arc<Mutex<(Vec<Key>, Option<Instant>)>>,
}

impl OpenId {
    /// Those that this issuer made for this audience. The operator names the issuer, so it may be at any address.
    pub fn new(issuer: &str, audience: &str, tenant_claim: &str) -> Self {
        OpenId {
            issuer: issuer.to_owned(),
            audience: audience.to_owned(),
            tenant_claim: tenant_claim.to_owned(),
            agent: Guard { private: true }.agent(Duration::from_secs(10)),
            keys: std::sync::Arc::default(),
        }
    }

    /// The keys that may have signed a token; fetched if they are old, or if the one wanted is not among them.
    async fn keys(&self, kid: Option<&str>) -> Result<Vec<Key>, String> {
        let fits = |key: &Key| kid.is_none() || key.kid.as_deref() == kid;
        {
            let known = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
            let age = known.1.map(|at| at.elapsed());
            let found: Vec<Key> = known.0.iter().filter(|key| fits(key)).cloned().collect();
            if age.is_some_and(|age| age < FETCH_PAUSE || (age < KEYS_LAST && !found.is_empty())) {
                return Ok(found);
            }
        }
        let (agent, issuer) = (self.agent.clone(), self.issuer.clone());
        let fetched = blocking(move || fetch(&agent, &issuer)).await.map_err(|e| e.to_string())?;
        let mut known = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        known.1 = Some(Instant::now());
        match fetched {
            Ok(keys) => known.0 = keys,
            // The keys that are known are better than none.
            Err(error) => tracing::warn!(error, "the OpenID provider's keys cannot be fetched"),
        }
        Ok(known.0.iter().filter(|key| fits(key)).cloned().collect())
    }

    fn identity(&self, claims: &Value, now: f64) -> Result<Identity, String> {
        if claims["iss"].as_str() != Some(&self.issuer) {
            return Err("the token is of another issuer".to_owned());
        }
        let audiences = claims["aud"].as_array().cloned().unwrap_or_else(|| vec![claims["aud"].clone()]);
        if !audiences.iter().any(|audience| audience.as_str() == Some(&self.audience)) {
            return Err("the token is for another audience".to_owned());
        }
        if claims["exp"].as_f64().is_none_or(|end| end + LEEWAY < now) {
            return Err("the token is over".to_owned());
        }
        if claims["nbf"].as_f64().is_some_and(|begin| begin - LEEWAY > now) {
            return Err("the token is not valid yet".to_owned());
        }
        let tenant = claims[&self.tenant_claim].as_str().and_then(|tenant| tenant.parse().ok());
        let tenant = tenant.ok_or_else(|| format!("the token's claim `{}` names no tenant", self.tenant_claim))?;
        let scopes = claims["scope"].as_str().map(Scopes::known).unwrap_or_default().of_tenant();
        Ok(Identity { tenant, scopes, subject: claims["sub"].as_str().unwrap_or("token").to_owned() })
    }
}

/// The provider's keys, by way of its discovery document.
fn fetch(agent: &Agent, issuer: &str) -> Result<Vec<Key>, String> {
    let get = |url: &str| -> Result<Value, String> {
        let mut response = agent.get(url).call().map_err(|e| format!("{url}: {e}"))?;
        if !response.status().is_success() {
            return Err(format!("{url}: {}", response.status()));
        }
        response.body_mut().read_json().map_err(|e| format!("{url}: {e}"))
    };
    let discovery = get(&format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/')))?;
    let url = discovery["jwks_uri"].as_str().ok_or("the discovery document names no keys")?;
    let keys = get(url)?["keys"].take();
    let keys = keys.as_array().cloned().unwrap_or_default();
    // Keys of kinds that we do not know are none of our concern.
    Ok(keys.into_iter().filter_map(|key| serde_json::from_value(key).ok()).collect())
}

fn bytes(text: Option<&str>) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text?).ok()
}

impl Key {
    /// Whether the key signed a message with the algorithm that a token names.
    fn signed(&self, algorithm: &str, message: &[u8], signature: &[u8]) -> bool {
        let verified = match (algorithm, self.kty.as_str()) {
            ("RS256", "RSA") => bytes(self.n.as_deref()).zip(bytes(self.e.as_deref())).map(|(n, e)| {
                RsaPublicKeyComponents { n: &n, e: &e }
                    .verify(&signature::RSA_PKCS1_2048_8192_SHA256, message, signature)
                    .is_ok()
            }),
            ("ES256", "EC") if self.crv.as_deref() == Some("P-256") => {
                bytes(self.x.as_deref()).zip(bytes(self.y.as_deref())).map(|(x, y)| {
                    let point = [&[4][..], &x, &y].concat();
                    UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point)
                        .verify(message, signature)
                        .is_ok()
                })
            }
            _ => None,
        };
        verified.unwrap_or(false)
    }
}

#[async_trait]
impl TokenReader for OpenId {
    async fn read(&self, token: &str) -> Result<Identity, String> {
        let malformed = || "this is neither an API key nor a token".to_owned();
        let mut parts = token.split('.');
        let (Some(head), Some(body), Some(sign), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(malformed());
        };
        let decoded = |part: &str| bytes(Some(part)).ok_or_else(malformed);
        let header: Header = serde_json::from_slice(&decoded(head)?).map_err(|_| malformed())?;
        let signature = decoded(sign)?;
        let message = &token[..head.len() + 1 + body.len()];
        let keys = self.keys(header.kid.as_deref()).await?;
        if !keys.iter().any(|key| key.signed(&header.alg, message.as_bytes(), &signature)) {
            return Err("the token is not signed by a key of the provider".to_owned());
        }
        let claims: Value = serde_json::from_slice(&decoded(body)?).map_err(|_| malformed())?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
        self.identity(&claims, now)
    }
}
