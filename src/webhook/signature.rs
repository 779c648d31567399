//! Signatures as Standard Webhooks has them: `v1,` and the base64 of an HMAC-SHA256 over id, time and body.

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// What a secret begins with; the rest is the key in base64.
pub const SECRET_PREFIX: &str = "whsec_";

/// A secret from random bytes.
pub fn new_secret(random: [u8; 32]) -> String {
    format!("{SECRET_PREFIX}{}", STANDARD.encode(random))
}

/// The `webhook-signature` of a body that is sent at `timestamp`, in seconds since 1970. `None` if the secret is not base64.
pub fn sign(secret: &str, id: &str, timestamp: i64, body: &str) -> Option<String> {
    let key = STANDARD.decode(secret.strip_prefix(SECRET_PREFIX).unwrap_or(secret)).ok()?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).ok()?;
    mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
    Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with Python's hmac and base64 modules.
    #[test]
    fn a_signature_is_the_one_that_others_compute() {
        let signature =
            sign("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_1", 1_614_265_330, "{\"test\": 2432232314}");
        assert_eq!(signature.as_deref(), Some(EXPECTED));
        assert_eq!(sign("whsec_ä", "m", 0, ""), None);
        assert!(sign(&new_secret([7; 32]), "m", 0, "").is_some());
    }

    const EXPECTED: &str = "v1,9o7UeFkn1GjVbcY4emAJruJCYqgH2EIf8u/slvVRBZI=";
}
