//! [`ConnectionLimits`]: how many connections there may be, and how long they may wait.

use std::time::Duration;

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
    /// How long a client may take nothing of an answer.
    pub stall: Duration,
}
