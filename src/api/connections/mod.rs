//! Connections: accepted, counted, closed when they wait too long, and ended in order. What a server of many strangers needs
//! and `axum::serve` does not have: half a request must not hold a place for ever.

mod body;
mod limits;
mod paced;
mod table;

use std::{
    convert::Infallible,
    io,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    http::{Request, Response},
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};
use tower::ServiceExt;

pub(super) use self::body::Held;
pub use self::{limits::ConnectionLimits, paced::Taking};
use self::{
    paced::Paced,
    table::{Place, Table},
};

/// The address that a request came from: the client's, or that of a proxy before us.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) IpAddr);

/// Serves until `stop`, then lets the requests in hand end.
pub async fn serve(listener: TcpListener, router: Router, limits: ConnectionLimits, stop: impl Future<Output = ()>) {
    const LOOK: Duration = Duration::from_secs(1);
    let table = Arc::new(Table::new(limits));
    let (stopping, stopped) = watch::channel(false);
    let (mut connections, mut look, mut stop) = (JoinSet::new(), tokio::time::interval(LOOK), pin!(stop));
    loop {
        tokio::select! {
            () = &mut stop => break,
            _ = look.tick() => table.close_overdue(Instant::now()),
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    // One that finds no place is closed at once.
                    if let Some(place) = table.enter(peer.ip(), Instant::now()) {
                        let _ = stream.set_nodelay(true);
                        keep_little(&stream);
                        let stream = Paced::new(stream, limits.taking, place.stuck());
                        connections.spawn(connection(stream, peer, router.clone(), place, stopped.clone()));
                    }
                }
                Err(error) => after_error(&table, &error).await,
            },
        }
    }
    drop(listener);
    let _ = stopping.send(true);
    while connections.join_next().await.is_some() {}
}

/// Keeps the kernel from holding much that is not sent yet: it says that more may be written once a third of what it holds is
/// gone, which of megabytes takes a slow client minutes, and all that time it would seem to take nothing.
fn keep_little(stream: &TcpStream) {
    const UNSENT: u32 = 64 << 10;
    if let Err(error) = socket2::SockRef::from(stream).set_tcp_notsent_lowat(UNSENT) {
        tracing::debug!(%error, "what the kernel holds of answers is not bounded");
    }
}

/// A client that went away at once is nobody's trouble. What else there is lasts: no descriptors are left, or no memory.
async fn after_error(table: &Table, error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    const PAUSE: Duration = Duration::from_millis(50);
    if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        return;
    }
    tracing::warn!(%error, "a connection could not be accepted");
    table.close_longest_waiting();
    tokio::time::sleep(PAUSE).await;
}

/// One connection, until either side closes it.
async fn connection(
    stream: Paced<TcpStream>,
    peer: SocketAddr,
    router: Router,
    place: Place,
    mut stopping: watch::Receiver<bool>,
) {
    /// What is read ahead of one connection, in bytes: no head of a request is larger.
    const BUFFER: usize = 128 << 10;
    let place = Arc::new(place);
    let service = service_fn(|request: Request<Incoming>| {
        let (router, busy) = (router.clone(), place.busy());
        async move {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(Peer(peer.ip()));
            let response: Response<Body> = router.oneshot(request).await?;
            Ok::<_, Infallible>(response.map(|body| Held { body, _held: busy }))
        }
    });
    // The table has the times.
    let mut server = http1::Builder::new();
    server.header_read_timeout(None).max_buf_size(BUFFER);
    let mut connection = pin!(server.serve_connection(TokioIo::new(stream), service));
    let mut ending = false;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection broke off");
                }
                return;
            }
            () = place.closed() => return,
            _ = stopping.wait_for(|stop| *stop), if !ending => {
                ending = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        time::sleep,
    };

    use super::*;

    const LONG: usize = 64 << 20;

    /// A client that asks for a long answer, of which 20 KB a second must be taken.
    async fn client() -> (TcpStream, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let long = Duration::from_secs(60);
        let taking = Taking { window: Duration::from_secs(2), least: 20_000 };
        let limits = ConnectionLimits { total: 9, per_address: 9, head: long, idle: long, taking };
        let router = Router::new().route("/", get(async || vec![0_u8; LONG]));
        let server = tokio::spawn(serve(listener, router, limits, std::future::pending()));
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
        (client, server)
    }

    async fn rest(client: &mut TcpStream) -> usize {
        let (mut read, mut chunk) = (0, vec![0; 1 << 16]);
        while let Ok(n @ 1..) = client.read(&mut chunk).await {
            read += n;
        }
        read
    }

    async fn stalled() -> usize {
        let (mut client, server) = client().await;
        sleep(Duration::from_secs(4)).await;
        let read = rest(&mut client).await;
        server.abort();
        read
    }

    async fn slow() -> usize {
        let (mut client, server) = client().await;
        let (mut read, mut chunk) = (0, vec![0; 20_000]);
        for _ in 0..25 {
            sleep(Duration::from_millis(200)).await;
            read += client.read_exact(&mut chunk).await.unwrap_or(0);
        }
        read += rest(&mut client).await;
        server.abort();
        read
    }

    /// Through the kernel's buffers, which take megabytes at once and then nothing for long.
    #[tokio::test]
    async fn an_answer_that_nobody_reads_is_ended_and_that_of_a_slow_reader_is_not() {
        let (slow, stalled) = tokio::join!(slow(), stalled());
        assert!(slow > LONG && stalled < LONG, "{slow} {stalled}");
    }
}
