//! What a query string asks for, each part by itself, so that a wrong one is told by name.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use axum::http::{StatusCode, Uri};
use serde::de::DeserializeOwned;

use super::error::Refusal;
use crate::decision::Verdict;
use crate::hir::{Mode, Severity};
use crate::store::{Disposition, Outcome};
use crate::time::Timestamp;
use crate::violation::Status;

/// The id in a path; its form is for the route to judge.
pub(crate) struct Id(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Id, Refusal> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(id)) => Ok(Id(id)),
            Err(_) => Err(wrong("the id in the path is no text", "write its hexadecimal digits")),
        }
    }
}

/// The parts of a query string. Unknown ones are refused: a filter that is passed over shows too much.
pub(crate) fn parts<T: DeserializeOwned>(uri: &Uri) -> Result<T, Refusal> {
    match axum::extract::Query::<T>::try_from_uri(uri) {
        Ok(axum::extract::Query(parts)) => Ok(parts),
        Err(e) => {
            // The reader names the key at fault and those that there are.
            let why = std::error::Error::source(&e).map_or_else(|| e.to_string(), ToString::to_string);
            Err(wrong(
                format!("the query string cannot be read: {}", why.escape_debug()),
                "`/openapi.json` lists what can be asked",
            ))
        }
    }
}

pub(crate) fn wrong(what: impl Into<String>, help: impl Into<String>) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, "bad_query", what, help)
}

/// One of several words.
fn word<T>(
    key: &str,
    text: Option<&str>,
    of: impl Fn(&str) -> Option<T>,
    words: &[&str],
) -> Result<Option<T>, Refusal> {
    let Some(text) = text else { return Ok(None) };
    of(text).map(Some).ok_or_else(|| {
        let shown: String = text.chars().take(40).collect();
        wrong(format!("`{key}` cannot be `{}`", shown.escape_debug()), format!("write one of {}", words.join(", ")))
    })
}

pub(crate) fn severity(text: Option<&str>) -> Result<Option<Severity>, Refusal> {
    let words: Vec<&str> = Severity::ALL.iter().map(|s| s.word()).collect();
    word("severity", text, Severity::from_word, &words)
}

pub(crate) fn status(text: Option<&str>) -> Result<Option<Status>, Refusal> {
    let words: Vec<&str> = Status::ALL.iter().map(|s| s.word()).collect();
    word("status", text, Status::from_word, &words)
}

pub(crate) fn mode(text: Option<&str>) -> Result<Option<Mode>, Refusal> {
    let words: Vec<&str> = Mode::ALL.iter().map(|m| m.word()).collect();
    word("mode", text, Mode::from_word, &words)
}

pub(crate) fn disposition(text: Option<&str>) -> Result<Option<Disposition>, Refusal> {
    let words: Vec<&str> = Outcome::ALL.iter().map(|o| o.word()).chain(["none"]).collect();
    let of = |text: &str| match text {
        "none" => Some(Disposition::Undecided),
        word => Outcome::from_word(word).map(Disposition::Decided),
    };
    word("decision", text, of, &words)
}

pub(crate) fn verdict(text: Option<&str>) -> Result<Option<Verdict>, Refusal> {
    let words: Vec<&str> = Verdict::ALL.into_iter().map(Verdict::word).collect();
    word("decision", text, |text| Verdict::ALL.into_iter().find(|v| v.word() == text), &words)
}

pub(crate) fn time(key: &str, text: Option<&str>) -> Result<Option<Timestamp>, Refusal> {
    let Some(text) = text else { return Ok(None) };
    let read = Timestamp::parse_rfc3339(text).or_else(|| Timestamp::parse_date(text));
    read.map(Some).ok_or_else(|| {
        wrong(
            format!("`{key}` is no moment"),
            "write a date such as 2026-03-02 or a moment such as 2026-03-02T12:00:00Z",
        )
    })
}

/// A number of rows, from 1 to `most`.
pub(crate) fn limit(text: Option<&str>, usual: u64, most: u64) -> Result<u64, Refusal> {
    let Some(text) = text else { return Ok(usual) };
    let read = text.parse::<u64>().ok().filter(|n| (1..=most).contains(n));
    read.ok_or_else(|| wrong("`limit` is no number of rows", format!("write a number from 1 to {most}")))
}
