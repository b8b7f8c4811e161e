//! A record without an account: its name, its values, its events and edges go; what speaks of others stays, and so do rule,
//! clause, times and counts.

use serde_json::{Value, json};

/// What goes, and what stands in its place.
pub struct Erasure<'a> {
    /// The account.
    pub account: &'a str,
    /// In its place.
    pub token: &'a str,
    /// Number of the erasure.
    pub number: u64,
    /// Whether an event was one of the account's.
    pub is_event: &'a dyn Fn(&str) -> bool,
}

/// A record without the account; `None` where it does not speak of it.
pub fn erased(record: &Value, of: &Erasure<'_>) -> Option<Value> {
    let mut out = record.clone();
    let mut n = 0;
    let accounts = || record.get("accounts").and_then(Value::as_array).into_iter().flatten();
    let alone = accounts().count() == 1 && accounts().all(|a| a == of.account);
    if alone {
        forget_values(&mut out, of);
    }
    if let Some(accounts) = out.get_mut("accounts").and_then(Value::as_array_mut) {
        n += rename(accounts, of);
    }
    if let Some(evidence) = out.get_mut("evidence") {
        let left = take_out(evidence, "events", alone, |event| {
            let id = event.get("id").and_then(Value::as_str).unwrap_or_default();
            (of.is_event)(id) || holds(id, of.account)
        });
        n += note(evidence, left);
    }
    if let Some(link) = out.get_mut("link") {
        let left = take_out(link, "edges", false, |edge| edge.get("account").is_some_and(|a| a == of.account));
        n += note(link, left);
    }
    n += rename_all(&mut out, of.account, of.token);
    if n == 0 {
        return None;
    }
    let out_map = out.as_object_mut()?;
    match out_map.get_mut("erased").and_then(Value::as_array_mut) {
        Some(erased) => erased.push(json!(of.number)),
        None => {
            out_map.insert("erased".to_string(), json!([of.number]));
        }
    }
    Some(out)
}

/// Where a record speaks of nobody else, its group and values are the account's.
fn forget_values(record: &mut Value, of: &Erasure<'_>) {
    for (_, part) in record.get_mut("group").and_then(Value::as_object_mut).into_iter().flatten() {
        *part = json!(of.token);
    }
    for (_, value) in record.get_mut("values").and_then(Value::as_object_mut).into_iter().flatten() {
        for key in ["crossing", "peak", "last"] {
            if let Some(value) = value.get_mut(key) {
                *value = Value::Null;
            }
        }
    }
    if let Some(because) = record.get_mut("because") {
        *because = json!(of.token);
    }
}

/// Renames, and keeps the order.
fn rename(names: &mut [Value], of: &Erasure<'_>) -> usize {
    let mut n = 0;
    for name in names.iter_mut().filter(|name| **name == of.account) {
        *name = json!(of.token);
        n += 1;
    }
    if n > 0 {
        names.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
    }
    n
}

/// Takes items out of a list, or all; how many, where any.
fn take_out(of: &mut Value, key: &str, all: bool, goes: impl Fn(&Value) -> bool) -> usize {
    let Some(items) = of.get_mut(key).and_then(Value::as_array_mut) else { return 0 };
    let before = items.len();
    items.retain(|item| !all && !goes(item));
    before - items.len()
}

/// Says that a list is not complete any more, and how many are missing.
fn note(of: &mut Value, n: usize) -> usize {
    if n == 0 {
        return 0;
    }
    if let Some(of) = of.as_object_mut() {
        of.insert("complete".to_string(), json!(false));
        let before = of.get("erased").and_then(Value::as_u64).unwrap_or(0);
        of.insert("erased".to_string(), json!(before.saturating_add(n as u64)));
    }
    n
}

/// Puts the token wherever a text of a JSON value names the account; how often. Names of keys stay.
pub fn rename_all(value: &mut Value, account: &str, token: &str) -> usize {
    match value {
        Value::String(text) => match renamed(text, account, token) {
            Some(other) => {
                *text = other;
                1
            }
            None => 0,
        },
        Value::Array(items) => items.iter_mut().map(|item| rename_all(item, account, token)).sum(),
        Value::Object(parts) => parts.iter_mut().map(|(_, part)| rename_all(part, account, token)).sum(),
        _ => 0,
    }
}

/// A text in which the token stands for the account; `None` where it does not name it. A longer name of which the account's is
/// a part is another: what touches letters, digits, `_` or `-` stays.
pub fn renamed(text: &str, account: &str, token: &str) -> Option<String> {
    if account.is_empty() || !text.contains(account) {
        return None;
    }
    let joins = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '-');
    let (mut out, mut done) = (String::new(), 0);
    for (at, _) in text.match_indices(account) {
        let end = at + account.len();
        let before = text.get(..at).and_then(|t| t.chars().next_back());
        let after = text.get(end..).and_then(|t| t.chars().next());
        if !joins(before) && !joins(after) {
            out.push_str(text.get(done..at).unwrap_or_default());
            out.push_str(token);
            done = end;
        }
    }
    if done == 0 {
        return None;
    }
    out.push_str(text.get(done..).unwrap_or_default());
    Some(out)
}

/// Whether an id has the account's name as a part of its own: ids of events are often made of it.
pub fn holds(id: &str, account: &str) -> bool {
    let joins = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    !account.is_empty()
        && id.match_indices(account).any(|(at, _)| {
            let before = id.get(..at).and_then(|t| t.chars().next_back());
            let after = id.get(at + account.len()..).and_then(|t| t.chars().next());
            !joins(before) && !joins(after)
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Erasure, erased, holds, renamed};

    #[test]
    fn a_name_is_replaced_where_it_stands_alone() {
        for (text, other) in [
            ("acct-1", Some("E")),
            ("acct-1 and acct-1, (acct-1).", Some("E and E, (E).")),
            ("acct-11", None),
            ("acct-1-2 my-acct-1", None),
            ("nobody", None),
            ("ünacct-1 acct-1ü acct-1", Some("ünacct-1 acct-1ü E")),
        ] {
            assert_eq!(renamed(text, "acct-1", "E").as_deref(), other, "{text}");
        }
        assert!(holds("acct-1-00042", "acct-1") && !holds("acct-12-00042", "acct-1"));
    }

    #[test]
    fn others_stay_in_a_record_and_one_of_the_account_alone_keeps_no_value() {
        let of = Erasure { account: "b", token: "erased:3", number: 3, is_event: &|id| id == "e2" };
        let record = json!({
            "id": "00", "accounts": ["a", "b", "c"], "group": {"template": "t"}, "because": "a, b and c",
            "values": {"n": {"crossing": 3, "peak": 4, "last": 3}},
            "evidence": {"count": 3, "complete": true, "events": [{"id": "e1"}, {"id": "e2"}, {"id": "b-7"}]},
            "link": {"complete": true, "edges": [{"account": "a", "value": "x"}, {"account": "b", "value": "x"}]},
        });
        let expected = json!({
            "id": "00", "accounts": ["a", "c", "erased:3"], "group": {"template": "t"}, "because": "a, erased:3 and c",
            "values": {"n": {"crossing": 3, "peak": 4, "last": 3}},
            "evidence": {"count": 3, "complete": false, "events": [{"id": "e1"}], "erased": 2},
            "link": {"complete": false, "edges": [{"account": "a", "value": "x"}], "erased": 1},
            "erased": [3],
        });
        assert_eq!(erased(&record, &of), Some(expected.clone()));
        assert_eq!(erased(&expected, &of), None, "and not twice");
        let alone = json!({
            "accounts": ["b"], "group": {"ip": "10.0.0.1"}, "because": "40 from 10.0.0.1",
            "values": {"n": {"crossing": 3, "peak": 4, "last": 3, "threshold": {"operator": ">", "value": 2}}},
            "evidence": {"count": 3, "complete": true, "events": [{"id": "e1"}]},
        });
        let expected = json!({
            "accounts": ["erased:3"], "group": {"ip": "erased:3"}, "because": "erased:3",
            "values": {"n": {"crossing": null, "peak": null, "last": null, "threshold": {"operator": ">", "value": 2}}},
            "evidence": {"count": 3, "complete": false, "events": [], "erased": 1},
            "erased": [3],
        });
        assert_eq!(erased(&alone, &of), Some(expected));
    }
}
