//! Connections of strangers: half requests, bodies that drip, foreign pages, wrong keys, streams without end.

use std::{
    io::{Read, Write},
    net::TcpStream,
    process::Command,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::support::{Client, Server, fixture, key, program, schema, start_server, uri};

fn connect(client: &Client) -> TcpStream {
    TcpStream::connect(client.url.trim_start_matches("http://")).unwrap()
}

/// What comes until the other side closes, or until the limit.
fn rest(stream: &mut TcpStream, limit: Duration) -> Option<String> {
    let began = Instant::now();
    let mut all = Vec::new();
    let mut part = [0; 4096];
    loop {
        let left = limit.checked_sub(began.elapsed()).filter(|left| !left.is_zero())?;
        stream.set_read_timeout(Some(left)).unwrap();
        match stream.read(&mut part) {
            Ok(0) => return Some(String::from_utf8_lossy(&all).into_owned()),
            Ok(read) => all.extend_from_slice(&part[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {
                return Some(String::from_utf8_lossy(&all).into_owned());
            }
            Err(_) => return None,
        }
    }
}

fn job() -> Value {
    json!({"model": {"uri": uri(&fixture("vit.safetensors"))},
        "quantize": {"backend": "torchao", "layers": [{"module_name": "*", "weights": {"dtype": "int8"}}]}})
}

#[test]
fn three_hundred_half_requests_keep_nobody_out_and_are_closed() {
    let folder = tempfile::tempdir().unwrap();
    let plain = program("serve", folder.path(), None);
    // Fewer files than connections.
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -n 256 && exec \"$0\" \"$@\""]).arg(plain.get_program()).args(plain.get_args());
    limited.args(["--listen", "127.0.0.1:0", "--workers", "0"]).stderr(std::process::Stdio::piped());
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    let server = start_server(limited);
    let began = Instant::now();
    let mut half: Vec<TcpStream> = (0..300)
        .map(|_| {
            let mut stream = connect(&server.client);
            stream.write_all(b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Ty").unwrap();
            stream
        })
        .collect();
    let mut slowest = Duration::ZERO;
    while began.elapsed() < Duration::from_secs(11) {
        let asked = Instant::now();
        assert_eq!(server.client.get("/healthz").0, 200);
        slowest = slowest.max(asked.elapsed());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    for stream in &mut half {
        let left = Duration::from_secs(15).saturating_sub(began.elapsed());
        assert_eq!(rest(stream, left.max(Duration::from_millis(1))).as_deref(), Some(""), "closed, and nothing said");
    }
}

#[test]
fn a_connection_without_another_request_is_closed() {
    let server = Server::start_with(|config| {
        config.workers = 0;
        config.http.keep_alive_seconds = 1;
    });
    let mut stream = connect(&server.client);
    let began = Instant::now();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /healthz HTTP/1.1\r\nHo").unwrap();
    let told = rest(&mut stream, Duration::from_secs(10)).expect("it is closed");
    assert_eq!(told.matches("200 OK").count(), 1, "{told}");
    assert!(began.elapsed() >= Duration::from_secs(1));
}

#[test]
fn bodies_that_do_not_come_are_given_up() {
    let server = Server::start_with(|config| {
        config.workers = 0;
        config.http.body_timeout_seconds = 1;
        config.http.body_bytes_per_second = 1000;
    });
    let mut stream = connect(&server.client);
    let head =
        b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{";
    stream.write_all(head).unwrap();
    let told = rest(&mut stream, Duration::from_secs(20)).expect("it is closed");
    assert!(told.starts_with("HTTP/1.1 408") && told.contains("\"body_timeout\""), "{told}");

    // An upload may take as long as it likes, as long as it comes.
    let mut stream = connect(&server.client);
    stream.write_all(b"PUT /v1/uploads/slow HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000\r\n\r\n").unwrap();
    let began = Instant::now();
    let mut sent = 0;
    while stream.write_all(b"x").is_ok() && sent < 200 {
        sent += 1;
        std::thread::sleep(Duration::from_millis(100));
    }
    let told = rest(&mut stream, Duration::from_secs(5));
    assert!(began.elapsed() < Duration::from_secs(15), "{sent} bytes: {told:?}");
    let mut stream = connect(&server.client);
    stream
        .write_all(
            b"PUT /v1/uploads/steady HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 9000\r\n\r\n",
        )
        .unwrap();
    for _ in 0..9 {
        stream.write_all(&[b'x'; 1000]).unwrap();
        std::thread::sleep(Duration::from_millis(200));
    }
    let told = rest(&mut stream, Duration::from_secs(20)).expect("an answer");
    assert!(told.starts_with("HTTP/1.1 201"), "{told}");
}

#[test]
fn a_page_of_another_site_starts_nothing() {
    let server = Server::start_with(|config| {
        config.workers = 0;
        config.http.allow_hosts = vec!["ptqd.lan".to_owned()];
        config.http.cors_origins = vec!["https://app.example".to_owned()];
    });
    let send = |method: &str, path: &str, headers: &[(&str, &str)]| {
        let body = (method == "POST").then(job);
        let answer = server.client.send(method, path, headers, body.as_ref());
        let code = if answer.status < 400 { Value::Null } else { answer.json()["code"].clone() };
        (answer.status, code)
    };
    // The name led here after the page was loaded: to the browser it is the same site.
    for host in ["evil.example", "evil.example:8080", "127.0.0.1.evil.example"] {
        for (method, path) in [("GET", "/v1/jobs"), ("POST", "/v1/jobs"), ("GET", "/"), ("GET", "/openapi.json")] {
            let fields = [("host", host), ("sec-fetch-site", "same-origin")];
            assert_eq!(send(method, path, &fields), (421, json!("host_not_allowed")), "{host} {path}");
        }
        assert_eq!(send("GET", "/healthz", &[("host", host)]).0, 200, "a probe");
    }
    for host in ["localhost:1234", "[::1]", "PTQD.lan"] {
        assert_eq!(send("POST", "/v1/jobs", &[("host", host)]).0, 202, "{host}");
    }
    let cross = ("sec-fetch-site", "cross-site");
    assert_eq!(send("POST", "/v1/jobs", &[cross, ("origin", "https://evil.example")]), (403, json!("cross_site")));
    assert_eq!(send("POST", "/v1/jobs", &[("origin", "https://evil.example")]), (403, json!("cross_site")));
    assert_eq!(send("POST", "/v1/jobs", &[cross, ("origin", "https://app.example")]).0, 202);
    assert_eq!(send("GET", "/v1/jobs", &[cross]).0, 200, "a link leads here");
}

#[test]
fn wrong_keys_are_looked_at_so_often_and_right_ones_always() {
    let (folder, url) = (tempfile::tempdir().unwrap(), schema("throttle"));
    let mut program = program("serve", folder.path(), Some(&url));
    program.args(["--listen", "127.0.0.1:0", "--workers", "0"]);
    let server = start_server(program);
    let right = server.client.with_key(&key(&url, folder.path(), "a", "jobs:read"));
    assert_eq!(right.get("/v1/jobs").0, 200);
    let wrong = server.client.with_key("ptqd_0000000000000000_00000000000000000000000000000000");
    let answers: Vec<_> = (0..60).map(|_| wrong.send("GET", "/v1/jobs", &[], None)).collect();
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!((statuses[..20].to_vec(), statuses[20..].to_vec()), (vec![401; 20], vec![429; 40]));
    let last = answers.last().unwrap();
    assert_eq!(last.json()["code"], "authentication_throttled");
    assert!((1..=60).contains(&last.header("retry-after").parse::<u32>().unwrap()));
    assert_eq!(right.get("/v1/jobs").0, 200, "it was right before");
    assert_eq!((wrong.get("/healthz").0, server.client.get("/v1/jobs").0), (200, 401));
}

#[test]
fn a_caller_follows_so_many_streams() {
    let server = Server::start_with(|config| {
        config.workers = 0;
        config.http.max_streams = 2;
    });
    let id = server.client.submit(&job());
    let follow = || {
        let mut stream = connect(&server.client);
        stream.write_all(format!("GET /v1/jobs/{id}/events HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).unwrap();
        let mut head = [0; 12];
        stream.read_exact(&mut head).unwrap();
        (String::from_utf8_lossy(&head).into_owned(), stream)
    };
    let (first, second) = (follow(), follow());
    assert_eq!((&*first.0, &*second.0), ("HTTP/1.1 200", "HTTP/1.1 200"));
    let third = server.client.send("GET", &format!("/v1/jobs/{id}/events"), &[], None);
    assert_eq!((third.status, &third.json()["code"]), (429, &json!("too_many_streams")));
    assert_eq!(server.client.get(&format!("/v1/jobs/{id}/events?after=0")).0, 200, "pages are no streams");
    drop(first);
    crate::support::eventually("a stream that was closed makes room", Duration::from_secs(20), || {
        follow().0 == "HTTP/1.1 200"
    });
}
