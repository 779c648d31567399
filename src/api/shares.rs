//! [`Streams`]: how many streams of events each caller follows. Each is a connection and a listener, for as long as it lasts.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use crate::access::Identity;

/// The streams that are open, by caller.
#[derive(Debug)]
pub struct Streams {
    most: usize,
    open: Mutex<HashMap<String, usize>>,
}

/// A stream that is open, until it is dropped.
#[derive(Debug)]
pub(super) struct OpenStream {
    streams: Arc<Streams>,
    caller: String,
}

impl Streams {
    /// At most so many of one caller.
    pub fn new(most: usize) -> Self {
        Streams { most, open: Mutex::default() }
    }

    /// One more of a caller; none if it has as many as it may.
    pub(super) fn open(self: &Arc<Self>, who: &Identity) -> Option<OpenStream> {
        let caller = format!("{}/{}", who.tenant, who.subject);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(caller.clone()).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(OpenStream { streams: Arc::clone(self), caller })
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let mut open = self.streams.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.caller) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_has_so_many_streams_and_none_is_remembered_once_closed() {
        let streams = Arc::new(Streams::new(2));
        let (anybody, other) = (Identity::anybody(), Identity { subject: "other".to_owned(), ..Identity::anybody() });
        let (first, second) = (streams.open(&anybody).unwrap(), streams.open(&anybody).unwrap());
        assert!(streams.open(&anybody).is_none() && streams.open(&other).is_some());
        drop(first);
        let third = streams.open(&anybody).unwrap();
        drop((second, third));
        assert!(streams.open.lock().unwrap().is_empty());
    }
}
