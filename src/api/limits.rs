//! How many requests each caller may make, and the headers that say how many are left.

use std::{
    num::NonZeroU32,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use governor::{
    Quota, RateLimiter,
    clock::{Clock, MonotonicClock},
    middleware::StateInformationMiddleware,
    state::keyed::HashMapStateStore,
};

use crate::access::Identity;

type Limiter = RateLimiter<String, HashMapStateStore<String>, MonotonicClock, StateInformationMiddleware>;

/// The limit of each caller, in this process.
#[derive(Debug)]
pub struct Limits {
    limiter: Limiter,
    per_second: NonZeroU32,
    calls: AtomicU32,
}

/// What a caller has left.
#[derive(Clone, Copy, Debug)]
pub(super) struct Left {
    requests: u32,
    per_second: u32,
}

impl Limits {
    /// So many requests a second, and twice as many at once after a pause.
    pub fn new(per_second: NonZeroU32) -> Self {
        let quota =
            Quota::per_second(per_second).allow_burst(per_second.saturating_mul(NonZeroU32::MIN.saturating_add(1)));
        let limiter = Limiter::new(quota, HashMapStateStore::default(), MonotonicClock);
        Limits { limiter, per_second, calls: AtomicU32::new(0) }
    }

    /// Counts a request; `Err` is the time until the next one may come.
    pub(super) fn take(&self, who: &Identity) -> Result<Left, Duration> {
        // Callers that did not ask for a while are forgotten: the table does not grow with every key there ever was.
        const BETWEEN: u32 = 4096;
        if self.calls.fetch_add(1, Ordering::Relaxed) % BETWEEN == BETWEEN - 1 {
            self.limiter.retain_recent();
        }
        match self.limiter.check_key(&format!("{}/{}", who.tenant, who.subject)) {
            Ok(state) => Ok(Left { requests: state.remaining_burst_capacity(), per_second: self.per_second.get() }),
            Err(until) => Err(until.wait_time_from(MonotonicClock.now())),
        }
    }
}

impl Left {
    /// The fields of the RateLimit draft (draft-ietf-httpapi-ratelimit-headers).
    pub(super) fn write(self, headers: &mut HeaderMap) {
        let Left { requests, per_second } = self;
        let fields = [
            (
                HeaderName::from_static("ratelimit-policy"),
                format!("\"default\";q={};w=2", per_second.saturating_mul(2)),
            ),
            (HeaderName::from_static("ratelimit"), format!("\"default\";r={requests};t=1")),
        ];
        for (name, value) in fields {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_ends_and_others_are_not_touched() {
        let limits = Limits::new(NonZeroU32::new(2).unwrap());
        let anybody = Identity::anybody();
        for left in [3, 2, 1, 0] {
            assert_eq!(limits.take(&anybody).unwrap().requests, left);
        }
        assert!(limits.take(&anybody).is_err_and(|wait| wait <= Duration::from_secs(1)));
        let other = Identity { subject: "other".to_owned(), ..anybody };
        assert!(limits.take(&other).is_ok());
    }
}
