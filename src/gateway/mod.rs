//! The contracts of gateways: from what each sends to a usage event, and from a decision to what each understands. Knows no
//! rule and no store; who answers stands behind [`Decide`].
//!
//! One file for each contract, all pure: bytes and headers in, event out; decision in, answer out. [`router`] and [`grpc`]
//! are what listens. How a caller is told apart is configuration ([`GatewayOptions`]).
//!
//! | route | contract | file |
//! |---|---|---|
//! | `POST /beta/litellm_basic_guardrail_api` | LiteLLM, Generic Guardrail API | [`litellm`] |
//! | `ANY /authz/forward` | nginx, Caddy, Traefik, APISIX, HAProxy by Lua | [`forward`] |
//! | `ANY /authz/envoy/…` | Envoy, ext_authz over HTTP | [`envoy_http`] |
//! | `envoy.service.auth.v3.Authorization/Check` | Envoy, ext_authz over gRPC | [`envoy_grpc`] |
//! | `envoy.service.ext_proc.v3.ExternalProcessor/Process` | Envoy, external processing | [`ext_proc`] |
//! | `POST /hooks/portkey` | Portkey, webhook guardrail | [`portkey`] |

pub mod answer;
pub mod body;
pub mod caller;
pub mod envoy_grpc;
pub mod envoy_http;
pub mod ext_proc;
pub mod forward;
mod grpc;
mod http;
pub mod litellm;
pub mod options;
pub mod portkey;
pub mod proto;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use xxhash_rust::xxh3::xxh3_128;

pub use grpc::grpc;
pub use http::router;
pub use options::GatewayOptions;

use crate::decision::Decision;
use crate::event::{FieldId, Kind, Slot, UsageEvent};
use crate::time::{Duration, Timestamp};

/// Who answers. All calls answer from memory and never wait.
pub trait Decide: Clone + Send + Sync + 'static {
    /// A call at arrival.
    ///
    /// # Errors
    /// Where no answer can be given now; the gateway then does as it was configured to.
    fn decide(&self, event: UsageEvent<'static>) -> Result<Decision, Unready>;

    /// What holds for the caller of this event already, without counting the event: a gateway that streams an answer asks
    /// again and again for one call.
    ///
    /// # Errors
    /// As [`Decide::decide`].
    fn standing(&self, event: &UsageEvent<'static>) -> Result<Decision, Unready>;

    /// A record that needs no answer: a call that has ended, a line of a log.
    ///
    /// # Errors
    /// Where it cannot be taken in now. Gateways cannot be told: who implements this counts what it refused.
    fn observe(&self, event: UsageEvent<'static>) -> Result<(), Unready>;
}

/// Why there is no answer now. It is told as 503 with `Retry-After`, never as 500.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unready {
    /// The state is still being restored.
    Starting,
    /// More comes than can be taken in.
    Overloaded {
        /// When to come again.
        retry_after: Duration,
    },
    /// It is about to end.
    Draining,
}

/// A secret by which keys of callers become ids. Never shown.
#[derive(Clone)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Of any length; 32 random bytes are enough.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Secret(bytes.into())
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// When a record arrived, and an id for it that no caller chose: ids decide what is a duplicate, so a call id that a client
/// may send is never one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// The id of the event.
    pub id: String,
    /// By the clock of this server.
    pub at: Timestamp,
}

impl Arrival {
    /// An event of this arrival; `record` is what it was made of.
    pub(crate) fn event(self, kind: Kind, source: &'static str, record: &[u8]) -> UsageEvent<'static> {
        let content = xxh3_128(record) ^ xxh3_128(self.id.as_bytes());
        let mut event = UsageEvent::new(kind, self.id, self.at);
        event.set(FieldId::INGEST_TS, Slot::Num(self.at.0));
        event.set(FieldId::SOURCE, Slot::Text(source.into()));
        event.set_content(content);
        event
    }
}

/// What all adapters share: the options, the secret, and where ids and times come from.
#[derive(Debug)]
pub struct Edge {
    /// As configured.
    pub options: GatewayOptions,
    /// For ids of keys.
    pub secret: Secret,
    now: fn() -> Timestamp,
    instance: String,
    arrivals: AtomicU64,
}

impl Edge {
    /// `instance` begins every id: a text that no other server of this log uses, and that is new with each start.
    pub fn new(options: GatewayOptions, secret: Secret, instance: impl Into<String>, now: fn() -> Timestamp) -> Self {
        Edge { options, secret, now, instance: instance.into(), arrivals: AtomicU64::new(0) }
    }

    /// A record arrives now.
    pub fn arrival(&self) -> Arrival {
        let n = self.arrivals.fetch_add(1, Ordering::Relaxed);
        Arrival { id: format!("{}-{n}", self.instance), at: (self.now)() }
    }
}
