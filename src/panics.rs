//! Panics of ours: each ends the work that it happens in, never the process. The one place that deals with them.

use std::{any::Any, panic, sync::Once};

use crate::fault::{Explanation, Fault, FaultCode};

/// Work that ended with a panic, which is in the log with its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an error of ours ended the computation; the server's log has more")]
pub struct Panicked;

impl Fault for Panicked {
    fn explain(&self) -> Explanation<'_> {
        FaultCode::InternalError.plain()
    }
}

/// From now on every panic is logged with its place, and with the span of the work that it ends. It is written to stderr as
/// before.
pub fn log_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let place = info.location().map(ToString::to_string).unwrap_or_default();
            tracing::error!(place, panic = message(info.payload()), "work ended with a panic");
            before(info);
        }));
    });
}

/// Runs work that blocks on a thread for such work. A panic there is an error here. So is the end of the runtime, after which
/// nobody reads the answer.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Panicked> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Panicked)
}

/// What a panic says.
fn message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_error_of_the_work_alone() {
        assert_eq!(blocking(|| 1).await, Ok(1));
        let panicked: Result<(), Panicked> = blocking(|| panic!("on purpose")).await;
        assert_eq!(panicked, Err(Panicked));
        assert_eq!(message(&"plain"), "plain");
        assert_eq!(message(&"formatted".to_owned()), "formatted");
    }
}
