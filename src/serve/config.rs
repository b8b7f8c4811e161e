//! The configuration of the server: one YAML file, every key with its default. Unknown keys are refused. Paths are relative to
//! the file they stand in. `docs/serve.md` describes each key.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::quantity::{Bytes, Digest, Span};
use crate::diagnostic::nearest;
use crate::gateway::GatewayOptions;
use crate::publish::Place;

/// Most keys and clients that a configuration names.
pub const KEYS_MAX: usize = 1_000;

/// How the server runs.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where HTTP is answered. Port 0 takes any that is free.
    pub listen: SocketAddr,
    /// Where gRPC is answered (Envoy); not at all where it is missing.
    pub grpc_listen: Option<SocketAddr>,
    /// Directory of rule files, or one file.
    pub rules: Option<PathBuf>,
    /// Where list and table files are looked up first.
    pub lists: Option<PathBuf>,
    /// The account registry, JSON lines.
    pub accounts: Option<PathBuf>,
    /// The violation log; made where it is missing.
    pub db: Option<PathBuf>,
    /// The key of template fingerprints.
    pub fingerprint_key: Option<PathBuf>,
    /// The secret from which random delays of actions are drawn.
    pub delay_secret: Option<PathBuf>,
    /// Which channel of alerts goes where, a file of its own.
    pub alerts: Option<PathBuf>,
    /// Where signed checkpoints of the log are brought as they are made.
    pub checkpoints: Vec<Place>,
    /// Who may call, by API key.
    pub keys: Vec<Key>,
    /// TLS, and who may call by certificate.
    pub tls: Option<Tls>,
    /// How gateways are understood: where callers, keys and call ids are found.
    pub gateways: GatewayOptions,
    /// What is taken in at most.
    pub limits: Limits,
    /// How events become findings.
    pub stream: Stream,
    /// What happens where files change.
    pub reload: Reload,
    /// When a call counts as one of which a record is missing.
    pub gaps: Gaps,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            grpc_listen: None,
            rules: None,
            lists: None,
            accounts: None,
            db: None,
            fingerprint_key: None,
            delay_secret: None,
            alerts: None,
            checkpoints: Vec::new(),
            keys: Vec::new(),
            tls: None,
            gateways: GatewayOptions::default(),
            limits: Limits::default(),
            stream: Stream::default(),
            reload: Reload::default(),
            gaps: Gaps::default(),
        }
    }
}

/// What a caller may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Right {
    /// Ask for decisions: `/v1/decide` and the routes of gateways.
    Decide,
    /// Send records: `/v1/events`, `/v1/logs`, `/v1/traces`.
    Ingest,
    /// Read violations, actions, rules, metrics and details of readiness.
    Read,
    /// Release, extend, approve and refuse actions; reload.
    Act,
}

impl Right {
    /// The word in configurations and messages.
    pub fn word(self) -> &'static str {
        match self {
            Right::Decide => "decide",
            Right::Ingest => "ingest",
            Right::Read => "read",
            Right::Act => "act",
        }
    }
}

/// An API key: never the key itself, only its SHA-256.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// Under which its acts are recorded.
    pub name: String,
    /// SHA-256 of the key, lower-case hex.
    pub sha256: Digest,
    /// What it may do.
    pub may: Vec<Right>,
    /// Most requests a second, on average over a second; `limits.requests_per_second` where it is missing.
    #[serde(default)]
    pub requests_per_second: Option<u32>,
}

/// TLS, with or without certificates of clients.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The server's certificate and those between it and its root, PEM.
    pub certificate: PathBuf,
    /// The key of the certificate, PEM.
    pub key: PathBuf,
    /// Roots of the certificates of clients, PEM. A client must then show one, unless there are API keys.
    #[serde(default)]
    pub client_ca: Option<PathBuf>,
    /// What clients may do, by their certificates.
    #[serde(default)]
    pub clients: Vec<Client>,
}

/// A client that is known by its certificate.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// Under which its acts are recorded.
    pub name: String,
    /// SHA-256 of the certificate (DER), lower-case hex; missing: any certificate of `client_ca`.
    #[serde(default)]
    pub sha256: Option<Digest>,
    /// What it may do.
    pub may: Vec<Right>,
    /// Most requests a second.
    #[serde(default)]
    pub requests_per_second: Option<u32>,
}

/// What is taken in at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Bytes of one request's body, as it comes and unpacked.
    pub body_bytes: Bytes,
    /// Bytes of all bodies that are held at a time.
    pub bodies_bytes: Bytes,
    /// Events in one batch of `/v1/decide`.
    pub batch_events: u32,
    /// Connections at a time; more are told 503 and closed.
    pub connections: u32,
    /// Requests that are worked on at a time, once their body has come.
    pub requests: u32,
    /// Requests a second of each key, or of all callers where there are no keys; 0 is no limit.
    pub requests_per_second: u32,
    /// How long a connection may take for the head of its next request, the time between two requests included.
    pub header_time: Span,
    /// How long a request may take from its head to its answer.
    pub request_time: Span,
    /// How long a client may not take in what is sent to it.
    pub write_time: Span,
    /// How long the server goes on accepting, and tells `/readyz` that it will end, once it is asked to end.
    pub drain_delay: Span,
    /// How long requests under way may take once it has stopped accepting.
    pub drain_time: Span,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            body_bytes: Bytes::mib(8),
            bodies_bytes: Bytes::mib(256),
            batch_events: 1_000,
            connections: 1_024,
            requests: 256,
            requests_per_second: 0,
            header_time: Span::secs(30),
            request_time: Span::secs(10),
            write_time: Span::secs(10),
            drain_delay: Span::secs(0),
            drain_time: Span::secs(20),
        }
    }
}

/// How events become findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Stream {
    /// How far events may come out of order.
    pub lateness: Span,
    /// Most bytes of state that the groups of windowed rules are accounted at.
    pub state_budget: Bytes,
    /// Most groups of all rules from which decisions are given.
    pub gate_groups: u32,
    /// How long calls are known by their ids, so that one that comes again counts once; at most twice that.
    pub remember: Span,
    /// How often what decisions are given from is written down, for a restart.
    pub save_gate: Span,
    /// Events that wait for the evaluator at most; more are told 503.
    pub queue_events: u32,
    /// Given decisions that wait for the log at most; what comes above it is counted as lost.
    pub queue_decisions: u32,
    /// How long decisions other than plain `allow` are kept in the log.
    pub keep_decisions: Span,
    /// Commits after so many events at the latest.
    pub commit_events: u64,
    /// Commits after so long at the latest.
    pub commit_time: Span,
}

impl Default for Stream {
    fn default() -> Self {
        Stream {
            lateness: Span::secs(300),
            state_budget: Bytes::mib(1024),
            gate_groups: 1 << 22,
            remember: Span::secs(600),
            save_gate: Span::secs(30),
            queue_events: 65_536,
            queue_decisions: 65_536,
            keep_decisions: Span::secs(90 * 24 * 3600),
            commit_events: 200_000,
            commit_time: Span::secs(5),
        }
    }
}

/// What becomes of what a rule has counted, where the rule has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangedRule {
    /// It begins with nothing.
    #[default]
    Reset,
    /// It goes on under the new condition, where it counts the same; a rule that does not refuses the change.
    Keep,
    /// It counts what the journal still holds, as if it had been there.
    Backfill,
}

/// What happens where files change.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Reload {
    /// Whether the directories of rules and lists and the registry are watched.
    pub watch: bool,
    /// How long files must be left alone before they are read.
    pub settle: Span,
    /// What becomes of what rules have counted that have changed. Those that mean the same go on in any case.
    pub changed_rules: ChangedRule,
    /// The same for rules by name. Both are for rules that do not say it themselves.
    pub rules: BTreeMap<String, ChangedRule>,
}

impl Default for Reload {
    fn default() -> Self {
        Reload { watch: true, settle: Span::millis(500), changed_rules: ChangedRule::Reset, rules: BTreeMap::new() }
    }
}

/// When a call counts as one of which a record is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Gaps {
    /// How long a call may go without its other record.
    pub within: Span,
    /// Calls that are remembered at most; above it the oldest are told apart no more, which is counted.
    pub calls: u32,
}

impl Default for Gaps {
    fn default() -> Self {
        Gaps { within: Span::secs(600), calls: 1_000_000 }
    }
}

/// A configuration that cannot be used: what, where, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}\nhelp: {instead}")]
pub struct ConfigError {
    /// What is wrong, and where.
    pub what: String,
    /// What to write instead.
    pub instead: String,
}

impl ConfigError {
    pub(crate) fn new(what: impl Into<String>, instead: impl Into<String>) -> Self {
        ConfigError { what: what.into(), instead: instead.into() }
    }
}

impl Config {
    /// Reads a file; its paths are then relative to where the process stands.
    ///
    /// # Errors
    /// A file that cannot be read, a key that is not known, a value that is none.
    pub fn read(path: &Path) -> Result<Config, ConfigError> {
        let shown = path.display();
        let text = std::fs::read_to_string(path).map_err(|e| {
            ConfigError::new(format!("`{shown}` cannot be read: {e}"), "name a YAML file, as docs/serve.md has one")
        })?;
        let mut config =
            Config::parse(&text).map_err(|e| ConfigError { what: format!("`{shown}`: {}", e.what), ..e })?;
        let base = path.parent().unwrap_or(Path::new(""));
        let paths = [
            &mut config.rules,
            &mut config.lists,
            &mut config.accounts,
            &mut config.db,
            &mut config.fingerprint_key,
            &mut config.delay_secret,
            &mut config.alerts,
        ];
        for path in paths.into_iter().flatten() {
            *path = base.join(&path);
        }
        for place in &mut config.checkpoints {
            let secret = place.webhook.as_mut().and_then(|webhook| webhook.secret.file.as_mut());
            for path in [place.file.as_mut(), secret].into_iter().flatten() {
                *path = base.join(&path);
            }
        }
        if let Some(tls) = &mut config.tls {
            let paths = [Some(&mut tls.certificate), Some(&mut tls.key), tls.client_ca.as_mut()];
            for path in paths.into_iter().flatten() {
                *path = base.join(&path);
            }
        }
        Ok(config)
    }

    /// Reads a text.
    ///
    /// # Errors
    /// A key that is not known, a value that is none.
    pub fn parse(text: &str) -> Result<Config, ConfigError> {
        // A file of comments alone says nothing, which is what the defaults are for.
        if text.lines().all(|l| l.trim().is_empty() || l.trim_start().starts_with('#')) {
            return Ok(Config::default());
        }
        serde_yaml::from_str(text).map_err(|e| wrong(&e.to_string()))
    }

    /// Who may call and do what, by name, for the log: hashes of keys and certificates, never a key.
    pub(crate) fn callers(&self) -> serde_json::Value {
        let hex = |digest: &Digest| hex::encode(digest.0);
        let one = |kind: &str, name: &str, sha256: Option<&Digest>, may: &[Right]| {
            let may: std::collections::BTreeSet<&str> = may.iter().map(|right| right.word()).collect();
            serde_json::json!({ "name": name, "kind": kind, "sha256": sha256.map(hex), "may": may })
        };
        let keys = self.keys.iter().map(|k| (&k.name, one("key", &k.name, Some(&k.sha256), &k.may)));
        let clients = self.tls.iter().flat_map(|tls| &tls.clients);
        let clients = clients.map(|c| (&c.name, one("certificate", &c.name, c.sha256.as_ref(), &c.may)));
        let all: BTreeMap<&String, serde_json::Value> = keys.chain(clients).collect();
        serde_json::Value::from_iter(all.into_values())
    }

    /// Whether what it says can be done, as far as that can be told without the world.
    ///
    /// # Errors
    /// What is missing, contradicts itself or would be unsafe.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.rules.is_none() {
            return Err(ConfigError::new(
                "no rules are named",
                "write `--rules DIR`, or `rules: DIR` in the configuration; the shipped ones are in `rules`",
            ));
        }
        if self.db.is_none() {
            return Err(ConfigError::new(
                "no violation log is named",
                "write `--db FILE`, or `db: FILE` in the configuration; it is made where it is missing",
            ));
        }
        let guarded = !self.keys.is_empty() || self.tls.as_ref().is_some_and(|t| t.client_ca.is_some());
        for (key, address) in [("listen", Some(self.listen)), ("grpc_listen", self.grpc_listen)] {
            let Some(address) = address.filter(|a| !a.ip().is_loopback() && !guarded) else { continue };
            return Err(ConfigError::new(
                format!("`{key}: {address}` can be reached from other machines, and anybody may call"),
                "name `keys` or `tls.client_ca` in the configuration (`fineprint serve --new-key NAME` makes a key), \
                 or listen on `127.0.0.1`",
            ));
        }
        self.check_names()?;
        self.check_limits()
    }

    fn check_names(&self) -> Result<(), ConfigError> {
        let tls = self.tls.iter();
        let clients = tls.clone().flat_map(|t| &t.clients);
        let mut names: Vec<&str> =
            self.keys.iter().map(|k| &*k.name).chain(clients.clone().map(|c| &*c.name)).collect();
        if names.len() > KEYS_MAX {
            let what = format!("there are {} keys and clients, the most is {KEYS_MAX}", names.len());
            return Err(ConfigError::new(what, "leave out those that nobody uses"));
        }
        let unfit = |name: &&&str| {
            let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            name.is_empty() || name.len() > 64 || !name.chars().all(fits)
        };
        if let Some(name) = names.iter().find(unfit) {
            return Err(ConfigError::new(
                format!("`{}` is no name of a key or client", name.escape_debug()),
                "write 1 to 64 letters, digits, `-`, `_` or `.`",
            ));
        }
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find_map(|pair| match pair {
            [a, b] if a == b => Some(a),
            _ => None,
        }) {
            let what = format!("two keys or clients are called `{twice}`");
            return Err(ConfigError::new(what, "give each its own name: its acts are recorded under it"));
        }
        let nothing = self.keys.iter().map(|k| (&k.name, &k.may)).chain(clients.map(|c| (&c.name, &c.may)));
        if let Some((name, _)) = nothing.into_iter().find(|(_, may)| may.is_empty()) {
            let what = format!("`{name}` may do nothing");
            return Err(ConfigError::new(
                what,
                "write `may: [decide, ingest, read, act]` with what it needs, or leave it out",
            ));
        }
        if let Some(tls) = &self.tls {
            if tls.client_ca.is_some() && tls.clients.is_empty() {
                return Err(ConfigError::new(
                    "`tls.client_ca` is given, but no client may do anything",
                    "add `clients: [{name: gateway, may: [decide]}]` below `tls`; without `sha256` any certificate of \
                     the authority is meant",
                ));
            }
            if tls.client_ca.is_none() && !tls.clients.is_empty() {
                return Err(ConfigError::new(
                    "`tls.clients` names clients, but there is no authority for their certificates",
                    "add `client_ca: FILE` below `tls`",
                ));
            }
        }
        Ok(())
    }

    fn check_limits(&self) -> Result<(), ConfigError> {
        let (l, s) = (&self.limits, &self.stream);
        let at_least_one = [
            ("limits.body_bytes", l.body_bytes.0),
            ("limits.bodies_bytes", l.bodies_bytes.0),
            ("limits.batch_events", u64::from(l.batch_events)),
            ("limits.connections", u64::from(l.connections)),
            ("limits.requests", u64::from(l.requests)),
            ("limits.header_time", l.header_time.0.0.unsigned_abs()),
            ("limits.request_time", l.request_time.0.0.unsigned_abs()),
            ("limits.write_time", l.write_time.0.0.unsigned_abs()),
            ("stream.queue_events", u64::from(s.queue_events)),
            ("stream.queue_decisions", u64::from(s.queue_decisions)),
            ("stream.commit_events", s.commit_events),
            ("gaps.calls", u64::from(self.gaps.calls)),
        ];
        if let Some((key, _)) = at_least_one.into_iter().find(|(_, n)| *n == 0) {
            return Err(ConfigError::new(format!("`{key}` is 0: nothing could be taken in"), "write at least 1"));
        }
        if l.bodies_bytes.0 < l.body_bytes.0 {
            return Err(ConfigError::new(
                "`limits.bodies_bytes` is less than `limits.body_bytes`: the largest request could never be taken in",
                "write at least as much as `limits.body_bytes`",
            ));
        }
        Ok(())
    }
}

/// What the reader says of a text, with what to write instead.
fn wrong(said: &str) -> ConfigError {
    let mut quoted = said.split('`').skip(1).step_by(2);
    let first = quoted.next().unwrap_or_default();
    let known: Vec<&str> = quoted.collect();
    let instead = if said.contains("unknown field") || said.contains("unknown variant") {
        match nearest(first, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("write one of {}", known.join(", ")),
        }
    } else if said.contains("missing field") {
        format!("add `{first}: …`; docs/serve.md says what it means")
    } else {
        "docs/serve.md has every key with its form and its default".to_string()
    };
    ConfigError::new(said, instead)
}
