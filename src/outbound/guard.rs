//! [`Guard`]: which addresses may be talked to, looked at after the name was resolved, so that no name leads inside.

use std::{io, net::IpAddr, time::Duration};

use ureq::{
    Agent,
    config::Config,
    http::Uri,
    unversioned::{
        resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver},
        transport::{DefaultConnector, NextTimeout},
    },
};
use url::{Host, Url};

/// Which addresses may be talked to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Guard {
    /// Whether private, loopback and link-local addresses are allowed, and plain http.
    pub private: bool,
}

impl Guard {
    /// Checks what can be checked of a URL without resolving its host name; the error says what is wrong.
    pub fn check(self, url: &str) -> Result<(), String> {
        const LONGEST: usize = 2000;
        if url.len() > LONGEST {
            return Err(format!("the URL is longer than {LONGEST} characters"));
        }
        let url = Url::parse(url).map_err(|e| format!("this is no URL: {e}"))?;
        match url.scheme() {
            "https" => {}
            "http" if self.private => {}
            "http" => return Err("the URL must be https".to_owned()),
            other => return Err(format!("`{other}` URLs are not supported; give an https one")),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("the URL holds a password; the signature proves who sends".to_owned());
        }
        let address = match url.host() {
            None => return Err("the URL has no host".to_owned()),
            Some(Host::Domain(name)) => {
                // A dot at the end makes a name absolute, and no other one of it.
                let name = name.trim_end_matches('.');
                let local =
                    name == "localhost" || [".localhost", ".local", ".internal"].iter().any(|end| name.ends_with(end));
                return if local && !self.private { Err(format!("`{name}` is not a public host")) } else { Ok(()) };
            }
            Some(Host::Ipv4(address)) => IpAddr::V4(address),
            Some(Host::Ipv6(address)) => IpAddr::V6(address),
        };
        self.allows(address).then_some(()).ok_or_else(|| format!("{address} is not a public address"))
    }

    /// Whether an address may be talked to.
    pub fn allows(self, address: IpAddr) -> bool {
        self.private || is_public(address)
    }

    /// A client that talks to allowed addresses only, follows no redirects, and waits so long for everything.
    pub fn agent(self, timeout: Duration) -> Agent {
        self.client(Some(timeout), None)
    }

    /// The same for what may take long to arrive: it gives up after so much silence.
    pub fn reader(self, silence: Duration) -> Agent {
        self.client(None, Some(silence))
    }

    fn client(self, whole: Option<Duration>, silence: Option<Duration>) -> Agent {
        let config = Agent::config_builder()
            .timeout_global(whole)
            .timeout_connect(silence)
            .timeout_recv_response(silence)
            .timeout_per_read(silence)
            .max_redirects(0)
            // A proxy would resolve names by itself, out of our sight.
            .proxy(None)
            .http_status_as_error(false)
            .user_agent(concat!("ptqd/", env!("CARGO_PKG_VERSION")))
            .build();
        Agent::with_parts(
            config,
            DefaultConnector::default(),
            Guarded { guard: self, inner: DefaultResolver::default() },
        )
    }
}

/// Whether an address belongs to the public internet.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_broadcast()
                || v4.is_documentation()
                || v4.is_multicast()
                || a == 0
                || a >= 240
                // Shared by carriers (RFC 6598), benchmarks (RFC 2544), protocol assignments (RFC 6890).
                || (a == 100 && (64..128).contains(&b))
                || (a == 198 && (18..20).contains(&b))
                || (v4.octets()[..3] == [192, 0, 0])
                // Relays of 6to4, which are no more (RFC 7526).
                || (v4.octets()[..3] == [192, 88, 99]))
        }
        IpAddr::V6(v6) => {
            let s = v6.segments();
            // Addresses that stand for IPv4 ones: mapped, compatible, and by NAT64, 6to4.
            let embedded = match s {
                [0, 0, 0, 0, 0, 0xffff | 0, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => Some((s[6], s[7])),
                [0x2002, high, low, ..] => Some((high, low)),
                _ => None,
            };
            if let Some((high, low)) = embedded {
                let [a, b] = high.to_be_bytes();
                let [c, d] = low.to_be_bytes();
                return is_public(IpAddr::from([a, b, c, d]));
            }
            // Global unicast alone, without documentation (RFC 3849, RFC 9637) and Teredo.
            let documentation = (s[0] == 0x2001 && s[1] == 0xdb8) || (s[0] == 0x3fff && s[1] < 0x1000);
            (s[0] & 0xe000) == 0x2000 && !documentation && !(s[0] == 0x2001 && s[1] == 0)
        }
    }
}

/// A resolver that leaves out what is not allowed. The connection is made to what it returns: a name cannot resolve to one
/// address for us and to another for the connection.
#[derive(Debug)]
struct Guarded {
    guard: Guard,
    inner: DefaultResolver,
}

impl Resolver for Guarded {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = self.inner.resolve(uri, config, timeout)?;
        let mut allowed = self.empty();
        for address in found.iter().filter(|address| self.guard.allows(address.ip())) {
            allowed.push(*address);
        }
        match (allowed.is_empty(), found.first()) {
            (true, Some(address)) => {
                let why = format!("{} is not a public address", address.ip());
                Err(ureq::Error::Io(io::Error::new(io::ErrorKind::PermissionDenied, why)))
            }
            _ => Ok(allowed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_are_public() {
        for local in ["https://localhost./", "https://LOCALHOST../x", "https://a.internal./"] {
            assert!(Guard::default().check(local).is_err(), "{local}");
        }
        for public in ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:8.8.8.8"] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for inside in [
            "0.0.0.0",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "::ffff:169.254.169.254",
            "fe80::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "3fff::1",
            "3fff:fff:ffff::1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
        ] {
            assert!(!is_public(inside.parse().unwrap()), "{inside}");
        }
    }

    #[test]
    fn urls_that_lead_inside_are_refused_in_all_their_spellings() {
        let guard = Guard::default();
        assert_eq!(guard.check("https://hooks.example.com/x?y=1"), Ok(()));
        for wrong in [
            "",
            "x",
            "http://example.com/",
            "ftp://example.com/",
            "file:///etc/passwd",
            "https://localhost/",
            "https://a.localhost/",
            "https://db.internal/",
            "https://user:pw@example.com/",
            "https://127.0.0.1/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://0177.0.0.1/",
            "https://[::1]/",
            "https://[::ffff:a9fe:a9fe]/",
            "https://169.254.169.254/latest/meta-data",
            "https://0/",
            "https:///",
            "javascript:alert(1)",
            "gopher://1.1.1.1/",
            "data:text/plain,x",
        ] {
            assert!(guard.check(wrong).is_err(), "{wrong}");
        }
        let open = Guard { private: true };
        assert_eq!(open.check("http://127.0.0.1:9/"), Ok(()));
    }

    #[test]
    fn a_name_that_resolves_inside_is_not_talked_to() {
        let agent = Guard::default().agent(Duration::from_secs(5));
        let error = agent.get("http://localhost:1/").call().unwrap_err();
        assert!(matches!(&error, ureq::Error::Io(e) if e.kind() == io::ErrorKind::PermissionDenied), "{error}");
        assert!(error.to_string().contains("is not a public address"), "{error}");
    }
}
