//! [`Table`]: the connections that there are, and which of them must go.
//!
//! A connection waits (for the head of a request) or is busy. Where there is no room for another one, the one that has waited
//! longest gives way: whoever opens hundreds and sends nothing keeps no one out, at the same address neither.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use tokio::sync::Notify;

use super::limits::ConnectionLimits;
use crate::api::network::network;

/// The connections that are open.
#[derive(Debug)]
pub(super) struct Table {
    limits: ConnectionLimits,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    /// By their numbers, which grow.
    connections: BTreeMap<u64, Connection>,
    next: u64,
}

#[derive(Debug)]
struct Connection {
    /// The network that it came from.
    peer: IpAddr,
    state: State,
    /// Whether its client has yet to take what was answered.
    stuck: Arc<AtomicBool>,
    close: Arc<Notify>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// No request came yet, since then.
    New(Instant),
    Busy,
    /// The last request was answered then.
    Idle(Instant),
}

/// A connection's place in the table, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    table: Arc<Table>,
    number: u64,
    stuck: Arc<AtomicBool>,
    close: Arc<Notify>,
}

/// A request in hand, until it is dropped.
#[derive(Debug)]
pub(super) struct Busy {
    table: Arc<Table>,
    number: u64,
}

impl Table {
    pub(super) fn new(limits: ConnectionLimits) -> Self {
        Table { limits, open: Mutex::default() }
    }

    /// A place for a connection, taken from another one if need be; none while every other is busy.
    pub(super) fn enter(self: &Arc<Self>, peer: IpAddr, now: Instant) -> Option<Place> {
        let peer = network(peer);
        let mut open = self.lock();
        let of_peer = open.connections.values().filter(|other| other.peer == peer).count();
        if of_peer >= self.limits.per_address {
            open.close_longest_waiting(|other| other.peer == peer).then_some(())?;
        } else if open.connections.len() >= self.limits.total {
            open.close_longest_waiting(|_| true).then_some(())?;
        }
        let (number, close, stuck) = (open.next, Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
        open.next += 1;
        let (own_close, own_stuck) = (Arc::clone(&close), Arc::clone(&stuck));
        open.connections
            .insert(number, Connection { peer, state: State::New(now), stuck: own_stuck, close: own_close });
        drop(open);
        Some(Place { table: Arc::clone(self), number, stuck, close })
    }

    /// Closes those that have waited for longer than they may.
    pub(super) fn close_overdue(&self, now: Instant) {
        let overdue = |connection: &Connection| match connection.waiting() {
            Some(State::New(since)) => now.saturating_duration_since(since) >= self.limits.head,
            Some(State::Idle(since)) => now.saturating_duration_since(since) >= self.limits.idle,
            Some(State::Busy) | None => false,
        };
        self.lock().connections.retain(|_, connection| {
            let close = overdue(connection);
            if close {
                connection.close.notify_one();
            }
            !close
        });
    }

    /// Makes room in the process.
    pub(super) fn close_longest_waiting(&self) {
        self.lock().close_longest_waiting(|_| true);
    }

    fn set(&self, number: u64, state: State) {
        if let Some(connection) = self.lock().connections.get_mut(&number) {
            connection.state = state;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    /// How long it has waited for a request; nothing while the last answer is not taken.
    fn waiting(&self) -> Option<State> {
        (!self.stuck.load(Ordering::Relaxed)).then_some(self.state)
    }
}

impl Open {
    /// Closes the one that has waited longest among those asked for. Whether there was one.
    fn close_longest_waiting(&mut self, among: impl Fn(&Connection) -> bool) -> bool {
        let waiting = self.connections.iter().filter(|(_, connection)| among(connection));
        let since = waiting.filter_map(|(number, connection)| match connection.waiting()? {
            State::New(since) | State::Idle(since) => Some((since, *number)),
            State::Busy => None,
        });
        let longest = since.min().and_then(|(_, number)| self.connections.remove(&number));
        longest.map(|connection| connection.close.notify_one()).is_some()
    }
}

impl Place {
    /// Where the connection says whether its client has yet to take what was answered.
    pub(super) fn stuck(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stuck)
    }

    /// Says that a request is in hand.
    pub(super) fn busy(&self) -> Busy {
        self.table.set(self.number, State::Busy);
        Busy { table: Arc::clone(&self.table), number: self.number }
    }

    /// Ends once the connection must close.
    pub(super) async fn closed(&self) {
        self.close.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.table.lock().connections.remove(&self.number);
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.table.set(self.number, State::Idle(Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{super::paced::Taking, *};

    const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const B: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

    fn table() -> Arc<Table> {
        let second = Duration::from_secs(1);
        Arc::new(Table::new(ConnectionLimits {
            total: 3,
            per_address: 2,
            head: second,
            idle: 5 * second,
            taking: Taking { window: second, least: 1 },
        }))
    }

    fn is_closed(place: &Place) -> bool {
        !place.table.lock().connections.contains_key(&place.number)
    }

    #[test]
    fn the_one_that_waited_longest_gives_way_and_a_busy_one_does_not() {
        let (table, now) = (table(), Instant::now());
        let first = table.enter(A, now).unwrap();
        let second = table.enter(A, now).unwrap();
        let busy = first.busy();
        let third = table.enter(A, now).unwrap();
        assert!(!is_closed(&first) && is_closed(&second), "the second waited, the first was busy");
        let _busy = third.busy();
        assert!(table.enter(A, now).is_none(), "both are busy");
        let other = table.enter(B, now).unwrap();
        drop(busy);
        let _last = table.enter(B, now).unwrap();
        assert!(is_closed(&other) && !is_closed(&first), "the table is full: the one of B had waited longest");
        drop(first);
        assert!(table.enter(A, now).is_some());
    }

    #[test]
    fn half_a_request_and_an_idle_connection_have_their_time() {
        let (table, now) = (table(), Instant::now());
        let (half, kept, used) =
            (table.enter(A, now).unwrap(), table.enter(A, now).unwrap(), table.enter(B, now).unwrap());
        drop(kept.busy());
        let _busy = used.busy();
        let after = |seconds| now + Duration::from_secs(seconds);
        table.close_overdue(now);
        assert!(!is_closed(&half));
        table.close_overdue(after(1));
        assert!(is_closed(&half) && !is_closed(&kept));
        table.close_overdue(after(60));
        assert!(is_closed(&kept) && !is_closed(&used), "a request takes as long as it takes");
        let slow = table.enter(B, now).unwrap();
        slow.stuck().store(true, Ordering::Relaxed);
        drop(slow.busy());
        table.close_overdue(after(600));
        assert!(!is_closed(&slow), "its client has not taken all of the answer");
        slow.stuck().store(false, Ordering::Relaxed);
        table.close_overdue(after(600));
        assert!(is_closed(&slow));
    }
}
