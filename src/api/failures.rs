//! [`Failures`]: wrong keys and tokens, counted by the address that they come from.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::network::network;
use crate::digest::sha256_hex;

/// What failures are counted over.
const MINUTE: Duration = Duration::from_secs(60);
/// Addresses, and credentials, that are remembered.
const MOST: usize = 10_000;

/// How often each address was wrong lately. After too many failures its credentials are not even looked at, but for those that
/// were right before: behind a proxy all clients have one address.
#[derive(Debug)]
pub struct Failures {
    most: u32,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// How often a network failed since then.
    wrong: HashMap<IpAddr, (Instant, u32)>,
    /// Digests of credentials that were right.
    right: HashSet<String>,
}

impl Failures {
    /// So many failures a minute.
    pub fn new(per_minute: u32) -> Self {
        Failures { most: per_minute, seen: Mutex::default() }
    }

    /// Whether credentials are to be looked at; `Err` is the time until they are.
    pub(super) fn check(&self, from: IpAddr, bearer: &str, now: Instant) -> Result<(), Duration> {
        let seen = self.seen();
        match seen.wrong.get(&network(from)).filter(|(_, count)| *count >= self.most) {
            Some((since, _)) if !seen.right.contains(&sha256_hex(bearer.as_bytes())) => {
                let left = MINUTE.saturating_sub(now.saturating_duration_since(*since));
                if left.is_zero() { Ok(()) } else { Err(left) }
            }
            _ => Ok(()),
        }
    }

    /// Remembers credentials that are right.
    pub(super) fn was_right(&self, bearer: &str) {
        let mut seen = self.seen();
        if seen.right.len() >= MOST {
            seen.right.clear();
        }
        seen.right.insert(sha256_hex(bearer.as_bytes()));
    }

    /// Counts credentials that are wrong, by now at least.
    pub(super) fn was_wrong(&self, from: IpAddr, bearer: &str, now: Instant) {
        let from = network(from);
        let mut seen = self.seen();
        seen.right.remove(&sha256_hex(bearer.as_bytes()));
        let over = |since: Instant| now.saturating_duration_since(since) >= MINUTE;
        if seen.wrong.len() >= MOST {
            seen.wrong.retain(|_, (since, _)| !over(*since));
        }
        // Where there is no room for one more network, those that are known are still counted.
        if seen.wrong.len() >= MOST && !seen.wrong.contains_key(&from) {
            return;
        }
        let (since, count) = seen.wrong.entry(from).or_insert((now, 0));
        if over(*since) {
            (*since, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_guesses_is_stopped_and_those_who_were_right_are_not() {
        let failures = Failures::new(3);
        let (a, b): (IpAddr, IpAddr) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        let now = Instant::now();
        failures.was_right("right");
        for wrong in ["1", "2", "3"] {
            assert!(failures.check(a, wrong, now).is_ok());
            failures.was_wrong(a, wrong, now);
        }
        assert_eq!(failures.check(a, "4", now + Duration::from_secs(20)), Err(Duration::from_secs(40)));
        assert!(failures.check(a, "right", now).is_ok() && failures.check(b, "4", now).is_ok());
        failures.was_wrong(b, "right", now);
        assert!(failures.check(a, "right", now).is_err(), "it was revoked");
        let later = now + MINUTE;
        assert!(failures.check(a, "4", later).is_ok());
        failures.was_wrong(a, "4", later);
        assert!(failures.check(a, "5", later).is_ok(), "another minute");
    }
}
