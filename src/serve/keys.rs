//! Who calls, and whether they may: API keys by their SHA-256, certificates of clients by theirs, and a rate for each.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::{HeaderMap, StatusCode, header};
use sha2::{Digest as _, Sha256};

use super::clock;
use super::config::{Config, Right};
use super::error::Refusal;

/// The header of our own that carries a key. Where a gateway hands on the headers of its callers, it is the only one.
const OWN_HEADER: &str = "x-tos-key";

/// The other header that carries a key; LiteLLM sends it.
const KEY_HEADER: &str = "x-api-key";

/// Whose headers a request bears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bears {
    /// Of who sends it.
    Own,
    /// Also those of a stranger, who calls the gateway: `Authorization` is then the stranger's.
    Strangers,
}

/// From where a request comes; set by the listener.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    /// SHA-256 of the certificate that the client has shown.
    pub(crate) certificate: Option<[u8; 32]>,
}

/// Who called, by the name in the configuration; acts are recorded under it.
#[derive(Debug, Clone)]
pub(crate) struct Caller(pub(crate) Arc<str>);

/// Everybody who may call.
#[derive(Debug)]
pub(crate) struct Callers {
    keys: Vec<Known>,
    clients: Vec<Known>,
    /// Nobody needs to say who they are; there is one rate for all.
    open: Option<Known>,
}

#[derive(Debug)]
struct Known {
    name: Arc<str>,
    /// `None` for a client of any certificate.
    digest: Option<[u8; 32]>,
    may: Vec<Right>,
    rate: Rate,
}

impl Callers {
    pub(crate) fn new(config: &Config) -> Self {
        let per_second = |own: Option<u32>| Rate::new(own.unwrap_or(config.limits.requests_per_second));
        let keys = config.keys.iter().map(|k| Known {
            name: k.name.as_str().into(),
            digest: Some(k.sha256.0),
            may: k.may.clone(),
            rate: per_second(k.requests_per_second),
        });
        let clients = config.tls.iter().flat_map(|t| &t.clients).map(|c| Known {
            name: c.name.as_str().into(),
            digest: c.sha256.map(|d| d.0),
            may: c.may.clone(),
            rate: per_second(c.requests_per_second),
        });
        let (keys, clients): (Vec<Known>, Vec<Known>) = (keys.collect(), clients.collect());
        let open = (keys.is_empty() && clients.is_empty()).then(|| Known {
            name: "local".into(),
            digest: None,
            may: vec![Right::Decide, Right::Ingest, Right::Read, Right::Act],
            rate: per_second(None),
        });
        Callers { keys, clients, open }
    }

    /// Who calls, if they may do this and have not come too often.
    pub(crate) fn admit(
        &self,
        right: Right,
        bears: Bears,
        headers: &HeaderMap,
        peer: Option<&Peer>,
    ) -> Result<Caller, Refusal> {
        let known = self.known(right, bears, headers, peer)?;
        if !known.may.contains(&right) {
            return Err(Refusal::new(
                StatusCode::FORBIDDEN,
                "forbidden",
                format!("`{}` may not {}", known.name, right.word()),
                format!("add `{}` to `may` of `{}` in the configuration", right.word(), known.name),
            ));
        }
        match known.rate.take() {
            Ok(()) => Ok(Caller(Arc::clone(&known.name))),
            Err(wait) => Err(too_often(right, &known.name, wait)),
        }
    }

    /// Whether somebody may read what is not for everybody; used where a route answers all, but not all the same.
    pub(crate) fn may_read(&self, headers: &HeaderMap, peer: Option<&Peer>) -> bool {
        self.known(Right::Read, Bears::Own, headers, peer).is_ok_and(|k| k.may.contains(&Right::Read))
    }

    fn known(&self, right: Right, bears: Bears, headers: &HeaderMap, peer: Option<&Peer>) -> Result<&Known, Refusal> {
        if let Some(open) = &self.open {
            // A web page that is open in a browser on this machine can send requests to it under another name.
            return if matches!(right, Right::Read | Right::Act) && !is_local(headers) {
                Err(Refusal::new(
                    StatusCode::FORBIDDEN,
                    "foreign_host",
                    "without keys, what is not a decision is answered under a loopback name alone",
                    "ask `localhost` or `127.0.0.1`, or name `keys` in the configuration",
                ))
            } else {
                Ok(open)
            };
        }
        if let Some(key) = key(headers, bears)? {
            let digest: [u8; 32] = Sha256::digest(key).into();
            // All keys are compared, and each to its end, so that the time tells nothing.
            let mut found = None;
            for known in &self.keys {
                if known.digest.is_some_and(|d| same(&d, &digest)) {
                    found = Some(known);
                }
            }
            return found.ok_or_else(|| unauthorised("the API key is not known"));
        }
        if let Some(certificate) = peer.and_then(|p| p.certificate) {
            let exactly = self.clients.iter().find(|c| c.digest == Some(certificate));
            let any = || self.clients.iter().find(|c| c.digest.is_none());
            return exactly.or_else(any).ok_or_else(|| unauthorised("the certificate is not known"));
        }
        Err(unauthorised("the request names no API key"))
    }
}

/// The key of a request: `X-Tos-Key: KEY`, `X-Api-Key: KEY` or `Authorization: Bearer KEY`.
fn key(headers: &HeaderMap, bears: Bears) -> Result<Option<&[u8]>, Refusal> {
    if let Some(value) = headers.get(OWN_HEADER) {
        return Ok(Some(value.as_bytes()));
    }
    if bears == Bears::Strangers {
        return Ok(None);
    }
    if let Some(value) = headers.get(KEY_HEADER) {
        return Ok(Some(value.as_bytes()));
    }
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    match value.as_bytes().split_at_checked(7) {
        Some((scheme, key)) if scheme.eq_ignore_ascii_case(b"bearer ") => Ok(Some(key.trim_ascii())),
        _ => Err(unauthorised("`Authorization` does not hold a bearer token")),
    }
}

fn unauthorised(what: &str) -> Refusal {
    let help = "send `Authorization: Bearer KEY` or `X-Tos-Key: KEY` with a key of the configuration; behind a gateway that hands on \
                the headers of its callers, `X-Tos-Key`";
    Refusal::new(StatusCode::UNAUTHORIZED, "unauthorised", what, help)
}

/// 503 to who asks for a decision: a gateway would tell 429 to its own caller, who has done nothing.
fn too_often(right: Right, name: &str, wait: std::time::Duration) -> Refusal {
    let status = if right == Right::Decide { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::TOO_MANY_REQUESTS };
    let refusal = Refusal::new(
        status,
        "too_many_requests",
        format!("`{name}` sends more requests a second than it may"),
        "come again after `Retry-After`, or raise `requests_per_second` in the configuration",
    );
    Refusal { retry_after_s: Some(wait.as_secs().saturating_add(1)), ..refusal }
}

/// Compares two digests in a time that does not depend on where they differ.
fn same(a: &[u8; 32], b: &[u8; 32]) -> bool {
    let differs = a.iter().zip(b).fold(0u8, |all, (a, b)| black_box(all | (a ^ b)));
    black_box(differs) == 0
}

fn is_local(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST) else { return true };
    let Ok(host) = host.to_str() else { return false };
    let name = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// A rate without a lock: the moment at which the next request is due, which may lie up to a second ahead.
#[derive(Debug)]
struct Rate {
    /// Nanoseconds between two requests; 0 is no limit.
    each_ns: u64,
    due_ns: AtomicU64,
}

/// How far the due moment may lie ahead: a second's worth of requests may come at once.
const BURST_NS: u64 = 1_000_000_000;

impl Rate {
    fn new(per_second: u32) -> Rate {
        Rate { each_ns: BURST_NS.checked_div(u64::from(per_second)).unwrap_or(0), due_ns: AtomicU64::new(0) }
    }

    /// Takes one request, or says how long to wait.
    fn take(&self) -> Result<(), std::time::Duration> {
        if self.each_ns == 0 {
            return Ok(());
        }
        let now = u64::try_from(clock::elapsed().as_nanos()).unwrap_or(u64::MAX);
        let next = |due: u64| {
            let next = due.max(now).saturating_add(self.each_ns);
            (next <= now.saturating_add(BURST_NS)).then_some(next)
        };
        self.due_ns.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).map(|_| ()).map_err(|due| {
            let wait = due.saturating_add(self.each_ns).saturating_sub(now.saturating_add(BURST_NS));
            std::time::Duration::from_nanos(wait)
        })
    }
}
