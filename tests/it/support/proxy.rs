//! A bad line to a server: cut, slow, or answered by somebody who is overloaded.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// What the line does.
#[derive(Clone, Debug, PartialEq)]
pub enum Line {
    /// Lets everything through, as fast as it comes.
    Good,
    /// Cuts each connection after so many bytes from the server, at most so many times.
    Cut { after: usize, times: usize },
    /// Lets so many bytes a second through, in each direction, over all connections.
    Slow(f64),
    /// Answers every request with this by itself.
    Answer(&'static str),
}

/// The answer of an S3 that is overloaded, and does not want the connection to stay.
pub const OVERLOADED: &str = "HTTP/1.1 503 Slow Down\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// A proxy before a server.
#[derive(Clone)]
pub struct Proxy {
    pub url: String,
    line: Arc<Mutex<Line>>,
    /// Connections that were cut, and requests that were answered here.
    pub spoilt: Arc<AtomicUsize>,
    /// When the next byte may pass, in each direction.
    clocks: [Arc<Mutex<Instant>>; 2],
}

impl Proxy {
    /// Before the server at an address, with a good line.
    pub fn before(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let now = || Arc::new(Mutex::new(Instant::now()));
        let proxy =
            Proxy { url, line: Arc::new(Mutex::new(Line::Good)), spoilt: Arc::default(), clocks: [now(), now()] };
        let (serving, server) = (proxy.clone(), server.trim_start_matches("http://").to_owned());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (proxy, server) = (serving.clone(), server.clone());
                thread::spawn(move || proxy.connect(client, &server));
            }
        });
        proxy
    }

    pub fn set(&self, line: Line) {
        *self.line.lock().expect("the line") = line;
    }

    fn line(&self) -> Line {
        self.line.lock().expect("the line").clone()
    }

    fn connect(&self, mut client: TcpStream, server: &str) {
        if let Line::Answer(answer) = self.line() {
            let _ = client.set_read_timeout(Some(Duration::from_secs(1)));
            let _ = client.read(&mut [0; 65536]);
            self.spoilt.fetch_add(1, Ordering::Relaxed);
            let _ = client.write_all(answer.as_bytes());
            let _ = client.shutdown(Shutdown::Write);
            // Until the client has read it: closing with bytes unread would take it back.
            while client.read(&mut [0; 65536]).is_ok_and(|n| n > 0) {}
            return;
        }
        let Ok(upstream) = TcpStream::connect(server) else { return };
        for stream in [&client, &upstream] {
            let _ = stream.set_nodelay(true);
        }
        let (Ok(from_client), Ok(to_server)) = (client.try_clone(), upstream.try_clone()) else { return };
        let there = self.clone();
        let sending = thread::spawn(move || there.copy(from_client, to_server, 0));
        self.copy(upstream, client, 1);
        let _ = sending.join();
    }

    fn copy(&self, mut from: TcpStream, mut to: TcpStream, direction: usize) {
        let (mut buffer, mut passed) = (vec![0; 64 << 10], 0);
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            passed += read;
            match self.line() {
                Line::Good => {}
                Line::Slow(rate) => {
                    let mut free = self.clocks[direction].lock().expect("the clock");
                    let at = (*free).max(Instant::now());
                    *free = at + Duration::from_secs_f64(read as f64 / rate);
                    drop(free);
                    thread::sleep(at.saturating_duration_since(Instant::now()));
                }
                Line::Cut { after, .. } if direction == 0 || passed < after => {}
                Line::Cut { times, .. } => {
                    if self.spoilt.fetch_add(1, Ordering::Relaxed) < times {
                        let _ = to.write_all(&buffer[..read / 2]);
                        break;
                    }
                }
                // What is under way when the trouble begins is lost.
                Line::Answer(_) => break,
            }
            if to.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    }
}
