//! [`ConnectionLimits`]: how many connections there may be, and how long they may wait.

use std::time::Duration;

use super::paced::Taking;

/// How many connections there may be, and how long they may wait.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// The most at a time.
    pub total: usize,
    /// The most of one address.
    pub per_address: usize,
    /// How long the head of the first request may take.
    pub head: Duration,
    /// How long a connection may wait for the whole head of its next request.
    pub idle: Duration,
    /// How slowly a client may take an answer.
    pub taking: Taking,
}
