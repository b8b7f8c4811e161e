//! The section `gateways:` of the server's configuration. Unknown keys are refused; everything has a default.
//!
//! ```yaml
//! gateways:
//!   caller:
//!     account: [x-tos-account]
//!     client_ip: {header: x-forwarded-for, hops: 1}
//!   litellm:
//!     account: [user_api_key_user_id, user_api_key_hash]
//!   body_bytes_max: 8388608
//! ```

use axum::http::HeaderName;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// Largest body of a request that is read, in bytes: 8 MiB. LiteLLM and Envoy send images along.
pub const BODY_BYTES_MAX: usize = 8 << 20;
/// Longest text of a field that is no prose (model, ids, paths, client strings), in bytes. Longer ones stay unknown, and the
/// event is marked `oversized-field`.
pub const SHORT_TEXT_BYTES_MAX: usize = 1024;

/// How gateways are understood.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GatewayOptions {
    /// Where a caller is found, for gateways that pass the headers of a call on.
    pub caller: CallerOptions,
    /// Names in LiteLLM's `request_data`.
    pub litellm: MetadataOptions,
    /// Names in Portkey's `metadata`. Clients send it themselves unless the gateway's configuration sets it.
    pub portkey: MetadataOptions,
    /// Whether a refusal over `/authz/envoy` names rules and violations in headers. Envoy hands all headers of a refusal to
    /// the caller unless `allowed_client_headers` says otherwise.
    pub envoy_tells_rules: bool,
    /// Largest body that is read, in bytes ([`BODY_BYTES_MAX`]); a larger one is answered 413.
    pub body_bytes_max: usize,
}

impl Default for GatewayOptions {
    fn default() -> Self {
        let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
        GatewayOptions {
            caller: CallerOptions::default(),
            litellm: MetadataOptions {
                // The same names in the same order as in the mapping of LiteLLM's log: both sides of a call must name one account.
                account: names(&[
                    "user_api_key_user_id",
                    "user_api_key_team_id",
                    "user_api_key_alias",
                    "user_api_key_hash",
                ]),
                org: names(&["user_api_key_org_id"]),
                tenant: names(&["user_api_key_team_id"]),
                key_id: names(&["user_api_key_hash"]),
                user: names(&["user_api_key_end_user_id"]),
                session: Vec::new(),
                call: Vec::new(),
            },
            portkey: MetadataOptions { account: names(&["_user"]), ..MetadataOptions::default() },
            envoy_tells_rules: false,
            body_bytes_max: BODY_BYTES_MAX,
        }
    }
}

/// Where a caller is found in the headers of a call. The first header that is there and not empty counts. A header that a
/// client can set makes its word the truth: name only those that the gateway sets or strips. By default nothing but the key
/// and the call id is read from headers, and the account is the key.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CallerOptions {
    /// To `account`; where none is there, the account is the id of the key.
    pub account: Vec<Header>,
    /// To `org`.
    pub org: Vec<Header>,
    /// To `tenant`.
    pub tenant: Vec<Header>,
    /// To `user`.
    pub user: Vec<Header>,
    /// To `session`.
    pub session: Vec<Header>,
    /// To `api_key_id`, as it is: an id that the gateway found out.
    pub key_id: Vec<Header>,
    /// To `api_key_id`, as a keyed hash: headers that hold the key itself. `authorization`, `x-api-key`, `api-key` by default.
    pub key: Vec<Header>,
    /// To `call`, by which a request and its completion are joined. `x-request-id` by default.
    pub call: Vec<Header>,
    /// To `ip`.
    pub client_ip: ClientIp,
}

impl Default for CallerOptions {
    fn default() -> Self {
        CallerOptions {
            account: Vec::new(),
            org: Vec::new(),
            tenant: Vec::new(),
            user: Vec::new(),
            session: Vec::new(),
            key_id: Vec::new(),
            key: ["authorization", "x-api-key", "api-key"].map(Header::known).to_vec(),
            call: vec![Header::known("x-request-id")],
            client_ip: ClientIp::default(),
        }
    }
}

/// Where the address of a client is found.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClientIp {
    /// The header: addresses with commas between, the nearest last.
    pub header: Header,
    /// How many trusted proxies each added the address it was called from: the client is the entry at this place from the
    /// right. With fewer entries the address stays unknown; 0 reads none.
    pub hops: usize,
}

impl Default for ClientIp {
    fn default() -> Self {
        ClientIp { header: Header::known("x-forwarded-for"), hops: 1 }
    }
}

/// Names under which a contract tells who calls; the first that is there counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetadataOptions {
    /// To `account`.
    pub account: Vec<String>,
    /// To `org`.
    pub org: Vec<String>,
    /// To `tenant`.
    pub tenant: Vec<String>,
    /// To `user`.
    pub user: Vec<String>,
    /// To `api_key_id`.
    pub key_id: Vec<String>,
    /// To `session`.
    pub session: Vec<String>,
    /// To `call`, for contracts without a call id of their own.
    pub call: Vec<String>,
}

/// The name of a header, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header(HeaderName);

impl Header {
    fn known(name: &'static str) -> Self {
        Header(HeaderName::from_static(name))
    }

    pub(crate) fn name(&self) -> &HeaderName {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        HeaderName::from_bytes(text.as_bytes()).map(Header).map_err(|_| {
            D::Error::custom(format!(
                "`{text}` is no name of a header: write letters, digits and hyphens, as in `x-tos-account`"
            ))
        })
    }
}
