//! What limits ask of a call when it arrives, and what it used when it is over. Knows no amount that was used before.

use super::quota::{Kept, Name, Want};
use crate::eval::route::{EventEnv, truth};
use crate::event::{FieldId, Kind, UsageEvent};
use crate::plan::RuleSet;
use crate::plan::limit::Limit;
use crate::plan::node::{Memo, NodeId};
use crate::plan::scalar::Val;
use crate::plan::wording::Wordings;
use crate::value::{Truth, Value};

/// A limit that bears on a call as it arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    /// Its place among the limits of the rule set, as in [`kept`].
    pub limit: u32,
    /// Number of its rule.
    pub rule: u32,
    /// The key of the call.
    pub key: Name,
    /// The call.
    pub call: Name,
    /// What is to be held.
    pub want: Want,
    /// What the key may settle in a window.
    pub most: i64,
}

/// What an event settles of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Use {
    /// Its place among the limits.
    pub limit: u32,
    /// Number of its rule.
    pub rule: u32,
    /// The key of the call.
    pub key: Name,
    /// The call.
    pub call: Name,
    /// Whether the event counts; where not, what was reserved is released.
    pub counts: bool,
    /// How much, where that is known.
    pub amount: Option<i64>,
}

/// The limits of a rule set, whose state is kept under their places.
pub fn kept(rules: &RuleSet) -> Vec<Kept> {
    rules.limits().map(|l| Kept { identity: l.identity().to_string(), window: l.window() }).collect()
}

/// Reads limits over events; reused from event to event.
#[derive(Debug, Default)]
pub struct LimitReader {
    memo: Memo,
    wordings: Wordings,
    bytes: Vec<u8>,
}

/// Of a call, so that its request and its completion are told apart where a limit counts both.
const REQUEST: &[u8] = b"\0request";

impl LimitReader {
    fn begin(&mut self, rules: &RuleSet) {
        self.memo.fit(rules.nodes.len());
        self.memo.forget();
        self.wordings.fit(rules.wordings.len());
        self.wordings.forget();
    }

    /// The limits that bear on a call as it arrives: those on its kind, and of a request those on the completion that it may
    /// become. What is unknown now may turn out true, so a limit bears on a call unless its filter is false.
    pub fn arrival(&mut self, rules: &RuleSet, event: &UsageEvent<'_>, out: &mut Vec<Ask>) {
        out.clear();
        self.begin(rules);
        let call = Name::of(call(event).as_bytes());
        for (place, limit) in (0u32..).zip(rules.limits()) {
            let kinds = &limit.rule.kinds;
            let becomes = event.kind() == Kind::Request && kinds.contains(&Kind::Completion);
            if !becomes && !kinds.contains(&event.kind()) || self.filtered(rules, event, &limit) == Truth::False {
                continue;
            }
            if self.excepted(rules, event, &limit) {
                continue;
            }
            let env = EventEnv { wordings: Some((rules, &self.wordings)), ..EventEnv::new(event) };
            let (Some(key), Some(most)) = (key(rules, &limit, &env, &mut self.bytes), limit.most(&env)) else {
                continue;
            };
            let want = match limit.reserve(&env) {
                Some(n) => Want::Amount(n),
                None if limit.reserves() => Want::Unknown,
                None => Want::Nothing,
            };
            out.push(Ask { limit: place, rule: limit.number, key, call, want, most });
        }
    }

    /// What an event settles: of every limit on its kind, as its rule counts it.
    pub fn over(&mut self, rules: &RuleSet, event: &UsageEvent<'_>, out: &mut Vec<Use>) {
        out.clear();
        self.begin(rules);
        for (place, limit) in (0u32..).zip(rules.limits()) {
            let kinds = &limit.rule.kinds;
            if !kinds.contains(&event.kind()) {
                continue;
            }
            let counts = self.filtered(rules, event, &limit).is_true() && !self.excepted(rules, event, &limit);
            let env = EventEnv { wordings: Some((rules, &self.wordings)), ..EventEnv::new(event) };
            let Some(key) = key(rules, &limit, &env, &mut self.bytes) else { continue };
            let amount = limit.settle(&env).filter(|_| counts);
            let mut text = call(event).as_bytes().to_vec();
            if event.kind() == Kind::Request && kinds.contains(&Kind::Completion) {
                text.extend(REQUEST);
            }
            out.push(Use { limit: place, rule: limit.number, key, call: Name::of(&text), counts, amount });
        }
    }

    fn truth(&mut self, rules: &RuleSet, event: &UsageEvent<'_>, node: NodeId) -> Truth {
        let env = EventEnv { wordings: Some((rules, &self.wordings)), ..EventEnv::new(event) };
        truth(rules, &mut self.memo, &env, node)
    }

    fn filtered(&mut self, rules: &RuleSet, event: &UsageEvent<'_>, limit: &Limit<'_>) -> Truth {
        limit.plan.filter.map_or(Truth::True, |node| self.truth(rules, event, node))
    }

    fn excepted(&mut self, rules: &RuleSet, event: &UsageEvent<'_>, limit: &Limit<'_>) -> bool {
        let holds = limit.plan.exceptions.iter().filter(|e| e.from <= event.ts() && event.ts() < e.until);
        let nodes: Vec<NodeId> = holds.map(|e| e.node).collect();
        nodes.into_iter().any(|node| self.truth(rules, event, node).is_true())
    }
}

/// The call that an event belongs to; one that names none is a call by itself.
fn call<'e>(event: &'e UsageEvent<'_>) -> &'e str {
    let named = |field| match event.get(field) {
        Value::Text(text) => Some(text),
        _ => None,
    };
    named(FieldId::CALL).or_else(|| named(FieldId::ID)).unwrap_or_default()
}

/// The key of an event; `None` where a part of it is unknown.
fn key(rules: &RuleSet, limit: &Limit<'_>, env: &EventEnv<'_, '_>, bytes: &mut Vec<u8>) -> Option<Name> {
    bytes.clear();
    for part in &limit.window.per {
        let scalar = &rules.words.get(part.word?.0 as usize)?.scalar;
        let (tag, text) = match scalar.eval(env) {
            Val::Text(text) => (0u8, text.into_owned()),
            Val::Num(n) => (1, n.to_string()),
            Val::Bool(b) => (2, b.to_string()),
            Val::Ip(ip) => (3, ip.to_canonical().to_string()),
            Val::Net(net) => (4, net.to_string()),
            Val::Unknown | Val::Texts(_) | Val::Fingerprints(_) => return None,
        };
        bytes.push(tag);
        bytes.extend((text.len() as u64).to_le_bytes());
        bytes.extend(text.as_bytes());
    }
    Some(Name::of(bytes))
}
