//! `Prefer: wait=n`: answering only when something has happened.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::Instant;

use super::{error::ApiError, state::ApiState};
use crate::job::{Job, JobId, Notification, Tenant, wait_for};

const PREFER: HeaderName = HeaderName::from_static("prefer");
const APPLIED: HeaderName = HeaderName::from_static("preference-applied");
/// The longest wait, in seconds.
const LONGEST: u64 = 30;
/// How often a waiting request reads the job itself: a notification may be missed.
const LOOK: Duration = Duration::from_secs(1);

/// The wait that a client prefers, at most 30 seconds.
pub(super) fn preferred(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
    let seconds = values.flat_map(|value| value.split([',', ';'])).find_map(|one| {
        let (name, value) = one.trim().split_once('=')?;
        name.trim().eq_ignore_ascii_case("wait").then(|| value.trim().trim_matches('"').parse::<u64>().ok())?
    });
    seconds.map(|seconds| Duration::from_secs(seconds.min(LONGEST)))
}

/// Says in `Preference-Applied` that the client's preference was followed.
pub(super) fn applied(headers: &mut HeaderMap, wait: Option<Duration>) {
    if let Some(value) = wait.and_then(|wait| HeaderValue::from_str(&format!("wait={}", wait.as_secs())).ok()) {
        headers.insert(APPLIED, value);
    }
}

/// The job once it is as it should be or has ended, or as it is when the time is over. `None`: it is gone.
pub(super) async fn until(
    state: &ApiState,
    (tenant, id): (&Tenant, &JobId),
    wait: Duration,
    fit: impl Fn(&Job) -> bool,
) -> Result<Option<Job>, ApiError> {
    let end = Instant::now() + wait;
    // Listened to before the first look, so that nothing falls between the two.
    let mut draining = state.draining.clone();
    let (mut notifications, wanted) = (state.jobs.notifications(), Notification::Event(id.clone()));
    loop {
        let job = state.jobs.get(tenant, id).await?;
        let Some(job) = job else { return Ok(None) };
        let over = Instant::now() >= end || *draining.borrow();
        if fit(&job) || job.status.is_terminal() || over {
            return Ok(Some(job));
        }
        tokio::select! {
            () = wait_for(&mut notifications, &wanted) => {}
            _ = draining.wait_for(|draining| *draining) => {}
            () = tokio::time::sleep_until(end.min(Instant::now() + LOOK)) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preference_is_read_and_bounded() {
        let wait = |value: &'static str| {
            preferred(&HeaderMap::from_iter([(PREFER, HeaderValue::from_static(value))])).map(|wait| wait.as_secs())
        };
        assert_eq!(wait("wait=5"), Some(5));
        assert_eq!(wait("respond-async, Wait = 500"), Some(30));
        assert_eq!(wait("wait=x"), None);
        assert_eq!(wait("respond-async"), None);
    }
}
