//! Who calls, from the headers of a call or the metadata of a contract. Keys become keyed hashes here and go no further.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, HeaderName};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value as Json;
use sha2::Sha256;

use crate::event::{FieldId, Slot, UsageEvent};
use crate::gateway::Secret;
use crate::gateway::options::{CallerOptions, ClientIp, Header, MetadataOptions, SHORT_TEXT_BYTES_MAX};
use crate::value::Value;

/// A mark in `header_flags`: the body was cut off by the gateway, so what it says is known in part.
pub const PARTIAL_BODY: &str = "partial-body";
/// A mark in `header_flags`: the body is no JSON that can be read, or compressed.
pub const UNREADABLE_BODY: &str = "unreadable-body";
/// A mark in `header_flags`: a field was longer than any honest one and stayed unknown.
pub const OVERSIZED_FIELD: &str = "oversized-field";

/// Sets a text that is no prose; empty ones are missing, and ones past [`SHORT_TEXT_BYTES_MAX`] are marked.
pub(crate) fn put_short(event: &mut UsageEvent<'static>, field: FieldId, text: &str) {
    let text = text.trim();
    if text.len() > SHORT_TEXT_BYTES_MAX {
        mark(event, OVERSIZED_FIELD);
    } else if !text.is_empty() {
        event.set(field, Slot::Text(text.to_owned().into()));
    }
}

/// Adds a mark to `header_flags`.
pub(crate) fn mark(event: &mut UsageEvent<'static>, flag: &str) {
    let mut flags = match event.get(FieldId::HEADER_FLAGS) {
        Value::Texts(flags) => flags.to_vec(),
        _ => Vec::new(),
    };
    if !flags.iter().any(|f| f == flag) {
        flags.push(flag.to_owned());
    }
    event.set(FieldId::HEADER_FLAGS, Slot::Texts(flags));
}

/// The caller of a call whose headers the gateway passed on. `peer` is who the gateway saw, where it says so itself.
pub fn put_headers(
    event: &mut UsageEvent<'static>,
    headers: &HeaderMap,
    peer: Option<IpAddr>,
    options: &CallerOptions,
    secret: &Secret,
) {
    let named = [
        (FieldId::ORG, &options.org),
        (FieldId::TENANT, &options.tenant),
        (FieldId::USER, &options.user),
        (FieldId::SESSION, &options.session),
        (FieldId::KEY, &options.key_id),
        (FieldId::ACCOUNT, &options.account),
        (FieldId::CALL, &options.call),
    ];
    for (field, names) in named {
        if let Some(text) = first(headers, names) {
            put_short(event, field, text);
        }
    }
    if !event.has(FieldId::KEY)
        && let Some(key) = first(headers, &options.key)
    {
        event.set(FieldId::KEY, Slot::Text(key_id(key, secret).into()));
    }
    account_or_key(event);
    put_client(event, headers, peer, &options.client_ip);
}

/// Address and client string alone: for contracts that tell who calls in words of their own.
pub(crate) fn put_client(event: &mut UsageEvent<'static>, headers: &HeaderMap, peer: Option<IpAddr>, from: &ClientIp) {
    if let Some(ip) = client_ip(headers, peer, from) {
        event.set(FieldId::IP, Slot::Ip(ip));
    }
    for (name, field) in [("user-agent", FieldId::USER_AGENT), ("accept-language", FieldId::ACCEPT_LANGUAGE)] {
        if let Some(text) = text(headers, &HeaderName::from_static(name)) {
            put_short(event, field, text);
        }
    }
}

/// The caller as the metadata of a contract names it.
pub(crate) fn put_metadata(event: &mut UsageEvent<'static>, metadata: &Json, options: &MetadataOptions) {
    let named = [
        (FieldId::ORG, &options.org),
        (FieldId::TENANT, &options.tenant),
        (FieldId::USER, &options.user),
        (FieldId::SESSION, &options.session),
        (FieldId::KEY, &options.key_id),
        (FieldId::ACCOUNT, &options.account),
        (FieldId::CALL, &options.call),
    ];
    for (field, names) in named {
        let mut found = names.iter().filter_map(|name| match metadata.get(name)? {
            Json::String(text) if !text.is_empty() => Some(text.clone()),
            Json::Number(number) => Some(number.to_string()),
            _ => None,
        });
        if let Some(text) = found.next() {
            put_short(event, field, &text);
        }
    }
    account_or_key(event);
}

/// Without an account, each key is one.
fn account_or_key(event: &mut UsageEvent<'static>) {
    if !event.has(FieldId::ACCOUNT)
        && let Value::Text(key) = event.get(FieldId::KEY)
    {
        let key = key.to_owned();
        event.set(FieldId::ACCOUNT, Slot::Text(key.into()));
    }
}

/// A key's id: the first 16 bytes of HMAC-SHA256 in hexadecimal. The word `Bearer` is no part of a key, so that a key is the
/// same one in `authorization` and `x-api-key`.
pub fn key_id(key: &str, secret: &Secret) -> String {
    let bare = match key.split_once(' ') {
        Some((scheme, bare)) if scheme.eq_ignore_ascii_case("bearer") => bare.trim(),
        _ => key,
    };
    keyed("key", bare, secret)
}

/// The id of an end user that a body names.
pub(crate) fn user_id(user: &str, secret: &Secret) -> String {
    keyed("user", user, secret)
}

fn keyed(purpose: &str, text: &str, secret: &Secret) -> String {
    use std::fmt::Write as _;
    let mut hex = String::with_capacity(32);
    // HMAC takes a secret of any length, the empty one too.
    if let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.bytes()) {
        mac.update(purpose.as_bytes());
        mac.update(&[0]);
        mac.update(text.as_bytes());
        for byte in mac.finalize().into_bytes().iter().take(16) {
            let _ = write!(hex, "{byte:02x}");
        }
    }
    hex
}

/// The entry at `hops` from the right of all that proxies noted. What a client wrote itself stands further left.
pub fn client_ip(headers: &HeaderMap, peer: Option<IpAddr>, from: &ClientIp) -> Option<IpAddr> {
    let noted = headers.get_all(from.header.name()).iter().filter_map(|value| value.to_str().ok());
    let mut chain: Vec<Option<IpAddr>> = noted.flat_map(|line| line.split(',')).map(address).collect();
    // A gateway that tells its peer apart from the header may have noted it there as well.
    if let Some(peer) = peer
        && chain.last() != Some(&Some(peer))
    {
        chain.push(Some(peer));
    }
    let at = chain.len().checked_sub(from.hops)?;
    chain.get(at).copied().flatten()
}

/// `192.0.2.1`, `192.0.2.1:443`, `2001:db8::1`, `[2001:db8::1]:443`, with or without quotes.
pub(crate) fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim().trim_matches('"');
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|s| s.ip()))
}

/// The first of these headers that is there and not empty.
fn first<'h>(headers: &'h HeaderMap, names: &[Header]) -> Option<&'h str> {
    names.iter().find_map(|name| text(headers, name.name()))
}

/// A header as text: the last, where it came several times, since gateways add behind what clients sent.
pub(crate) fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let last = headers.get_all(name).iter().next_back()?;
    std::str::from_utf8(last.as_bytes()).ok().map(str::trim).filter(|t| !t.is_empty())
}
