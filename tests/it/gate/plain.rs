//! A gate that keeps every event and counts again for each answer; and the random rules and calls it is asked about.

use std::collections::{BTreeMap, BTreeSet};

use fineprint::decision::{Decision, Verdict};
use fineprint::event::{FieldId, Kind, Slot, UsageEvent};
use fineprint::time::{MINUTE_NS, SECOND_NS, Timestamp};
use fineprint::value::Value;
use proptest::prelude::*;

const LATENESS: i64 = 5 * MINUTE_NS;
const START: i64 = 1_767_225_600 * SECOND_NS;

/// One rule.
#[derive(Debug, Clone)]
pub struct RuleSpec {
    pub kinds: Vec<Kind>,
    pub refused_only: bool,
    pub per: Vec<&'static str>,
    pub length: i64,
    pub step: i64,
    pub what: usize,
    pub at_least: i64,
    pub excepts: bool,
    pub mode: &'static str,
    pub action: &'static str,
}

impl RuleSpec {
    /// Whether it finds the same as another, whatever is done then.
    fn finds_as(&self, other: &RuleSpec) -> bool {
        let found = RuleSpec { mode: other.mode, action: other.action, ..self.clone() };
        format!("{found:?}") == format!("{other:?}")
    }
}

impl Default for RuleSpec {
    fn default() -> Self {
        RuleSpec {
            kinds: vec![Kind::Completion],
            refused_only: false,
            per: vec!["account"],
            length: 10 * MINUTE_NS,
            step: MINUTE_NS,
            what: 0,
            at_least: 2,
            excepts: false,
            mode: "enforce",
            action: "block account",
        }
    }
}

const WHATS: [&str; 9] = [
    "count() >= N",
    "(count() where refused) >= N",
    "distinct(model) >= N",
    "(distinct(model) where refused) > N",
    "sum(output_tokens) >= N00",
    "max(output_tokens) >= N0",
    "count() >= N and distinct(model) >= 2",
    "(sum(output_tokens) where model = \"m1\") > N00 or distinct(org, model) >= N",
    "at least 2 of { count() > N, max(input_tokens) >= N, distinct(country) >= 2 }",
];

/// The text of a rule.
pub fn text_of(n: usize, spec: &RuleSpec) -> String {
    let kinds: Vec<&str> = spec.kinds.iter().map(|k| k.word()).collect();
    let filter = if spec.refused_only { " where refused" } else { "" };
    let per = if spec.per.is_empty() { String::new() } else { format!("  per      {}\n", spec.per.join(", ")) };
    let except = if spec.excepts { "  except   events where country = \"DE\"\n" } else { "" };
    let when = WHATS[spec.what].replace('N', &spec.at_least.to_string());
    format!(
        "rule r{n} {{\n  enforces acme.terms.fair\n  mode     {}\n  on       {}{filter}\n{per}  over     {}m every \
         {}s\n  when     {when}\n{except}  action   {}\n  because  \"many\"\n}}\n",
        spec.mode,
        kinds.join(" or "),
        spec.length / MINUTE_NS,
        spec.step / SECOND_NS,
        spec.action
    )
}

/// Random rules, one to three.
pub fn specs() -> impl Strategy<Value = Vec<RuleSpec>> {
    let kinds = prop::sample::select(vec![
        vec![Kind::Completion],
        vec![Kind::Completion],
        vec![Kind::Request],
        vec![Kind::Completion, Kind::Request],
    ]);
    let per = prop::sample::select(vec![vec!["account"], vec!["account", "model"], vec!["org"], vec![]]);
    let window = prop::sample::select(vec![(10, 60), (1, 60), (3, 20), (60, 900), (10, 600)]);
    let acts = prop::sample::select(vec![
        ("enforce", "block account"),
        ("enforce", "throttle account to 1 per 2m"),
        ("enforce", "throttle group to 2 per 1m"),
        ("enforce", "flag account"),
        ("flag", "block account"),
        ("shadow", "block account"),
        ("shadow", "throttle key to 1 per 1m"),
        ("enforce", "challenge account"),
        ("enforce", "after review: block account"),
    ]);
    let one = (kinds, any::<bool>(), per, window, 0..WHATS.len(), 1i64..5, any::<bool>(), acts);
    let one = one.prop_map(|(kinds, refused, per, (length, step), what, at_least, excepts, (mode, action))| RuleSpec {
        kinds,
        refused_only: refused && at_least < 3,
        per,
        length: length * MINUTE_NS,
        step: step * SECOND_NS,
        what,
        at_least,
        excepts,
        mode,
        action,
    });
    prop::collection::vec(one, 1..4)
}

/// One event.
#[derive(Debug, Clone)]
pub struct Call {
    pub kind: Kind,
    pub asks: bool,
    /// Of an earlier event, if it is a copy.
    pub id: Option<usize>,
    pub call: Option<u8>,
    pub seconds: i64,
    pub account: u8,
    pub org: Option<u8>,
    pub model: u8,
    pub country: u8,
    pub tokens: Option<i64>,
    pub refused: Option<bool>,
}

impl Default for Call {
    fn default() -> Self {
        Call {
            kind: Kind::Completion,
            asks: true,
            id: None,
            call: None,
            seconds: 0,
            account: 0,
            org: None,
            model: 0,
            country: 0,
            tokens: None,
            refused: None,
        }
    }
}

/// Random calls, a request and its completion often of one call; up to 10 minutes out of order.
pub fn calls(most: usize) -> impl Strategy<Value = Vec<Call>> {
    let kind = prop::sample::select(vec![Kind::Completion, Kind::Completion, Kind::Request, Kind::Signup]);
    let who = (0u8..2, prop::option::of(0u8..2), 0u8..3, 0u8..3);
    let what = (prop::option::of(0i64..300), prop::option::of(any::<bool>()), prop::option::weighted(0.8, 0u8..6));
    let when = (prop::option::weighted(0.1, 0usize..60), prop_oneof![4 => 0i64..40, 1 => 0i64..900], 0i64..360);
    let one = (kind, prop::bool::weighted(0.8), who, what, when);
    prop::collection::vec(one, 1..most).prop_map(|all| {
        let mut now = 0;
        let of = |(n, (kind, asks, who, what, when)): (usize, _)| {
            let (account, org, model, country) = who;
            let (tokens, refused, call): (Option<i64>, Option<bool>, Option<u8>) = what;
            let (id, gap, behind): (Option<usize>, i64, i64) = when;
            now += gap;
            let seconds = if behind < 300 { now } else { now - (behind - 300) * 10 };
            let id = id.filter(|id| *id < n);
            let asked = kind == Kind::Request;
            let (tokens, refused) = if asked { (None, None) } else { (tokens, refused) };
            Call { kind, asks, id, call, seconds, account, org, model, country, tokens, refused }
        };
        all.into_iter().enumerate().map(of).collect()
    })
}

/// The event of a call; the `n`-th.
pub fn event(n: usize, call: &Call) -> UsageEvent<'static> {
    let id = format!("e{}", call.id.unwrap_or(n));
    let mut event = UsageEvent::new(call.kind, id, Timestamp(START + call.seconds * SECOND_NS));
    let mut text = |field, text: String| event.set(field, Slot::Text(text.into()));
    text(FieldId::ACCOUNT, format!("a{}", call.account));
    text(FieldId::KEY, format!("k{}", call.account));
    text(FieldId::MODEL, format!("m{}", call.model));
    text(FieldId::COUNTRY, ["DE", "FR", "US"][usize::from(call.country)].to_string());
    if let Some(org) = call.org {
        text(FieldId::ORG, format!("o{org}"));
    }
    if let Some(call) = call.call {
        text(FieldId::CALL, format!("c{call}"));
    }
    if let Some(tokens) = call.tokens {
        event.set(FieldId::OUTPUT_TOKENS, Slot::Num(tokens));
        event.set(FieldId::INPUT_TOKENS, Slot::Num(tokens / 100));
    }
    if let Some(refused) = call.refused {
        event.set(FieldId::REFUSED, Slot::Bool(refused));
    }
    event
}

fn said(event: &UsageEvent<'_>, field: FieldId) -> Option<String> {
    match event.get(field) {
        Value::Text(text) => Some(text.to_string()),
        _ => None,
    }
}

fn number(event: &UsageEvent<'_>, field: FieldId) -> Option<i64> {
    match event.get(field) {
        Value::Num(n) => Some(n),
        _ => None,
    }
}

fn is_refused(event: &UsageEvent<'_>) -> bool {
    event.get(FieldId::REFUSED) == Value::Bool(true)
}

/// The group of an event in a rule that looks at it.
pub fn group_of(spec: &RuleSpec, event: &UsageEvent<'_>) -> Option<Vec<String>> {
    if spec.refused_only && !is_refused(event) || spec.excepts && said(event, FieldId::COUNTRY)? == "DE" {
        return None;
    }
    let fields = spec.per.iter().map(|part| match *part {
        "account" => FieldId::ACCOUNT,
        "model" => FieldId::MODEL,
        _ => FieldId::ORG,
    });
    fields.map(|field| said(event, field)).collect()
}

/// Whether a condition holds over events.
fn holds(spec: &RuleSpec, events: &[&UsageEvent<'static>]) -> bool {
    let n = spec.at_least;
    let count = events.len() as i64;
    let refused: Vec<_> = events.iter().filter(|e| is_refused(e)).collect();
    let models = |of: &mut dyn Iterator<Item = &UsageEvent<'static>>| {
        of.filter_map(|e| said(e, FieldId::MODEL)).collect::<BTreeSet<_>>().len() as i64
    };
    let sum: i64 = events.iter().filter_map(|e| number(e, FieldId::OUTPUT_TOKENS)).sum();
    let max = |field| events.iter().filter_map(|e| number(e, field)).max();
    if events.is_empty() {
        return false;
    }
    match spec.what {
        0 => count >= n,
        1 => refused.len() as i64 >= n,
        2 => models(&mut events.iter().copied()) >= n,
        3 => models(&mut refused.iter().map(|e| **e)) > n,
        4 => sum >= n * 100,
        5 => max(FieldId::OUTPUT_TOKENS).is_some_and(|m| m >= n * 10),
        6 => count >= n && models(&mut events.iter().copied()) >= 2,
        7 => {
            let of = events.iter().filter(|e| said(e, FieldId::MODEL).as_deref() == Some("m1"));
            let of_one: i64 = of.filter_map(|e| number(e, FieldId::OUTPUT_TOKENS)).sum();
            let pairs: BTreeSet<_> =
                events.iter().filter_map(|e| Some((said(e, FieldId::ORG)?, said(e, FieldId::MODEL)?))).collect();
            of_one > n * 100 || pairs.len() as i64 >= n
        }
        _ => {
            let countries: BTreeSet<_> = events.iter().filter_map(|e| said(e, FieldId::COUNTRY)).collect();
            let parts = [count > n, max(FieldId::INPUT_TOKENS).is_some_and(|m| m >= n), countries.len() >= 2];
            parts.iter().filter(|p| **p).count() >= 2
        }
    }
}

/// An event that counts in a group of a rule.
#[derive(Clone)]
struct Counted {
    step: i64,
    event: UsageEvent<'static>,
    /// The call that it is ahead of.
    ahead: Option<String>,
}

impl Counted {
    /// When it counts ahead no more.
    fn until(&self) -> Timestamp {
        Timestamp(self.event.ts().0 + 15 * MINUTE_NS)
    }
}

#[derive(Clone, Default)]
struct Group {
    newest: i64,
    counted: Vec<Counted>,
}

/// See the head of the file.
pub struct PlainGate {
    specs: Vec<RuleSpec>,
    groups: Vec<BTreeMap<Vec<String>, Group>>,
    /// Ids, and whether they passed.
    heard: BTreeMap<String, bool>,
    /// Calls that passed a throttle of a rule for a target, by the span they passed in.
    passed: BTreeMap<(usize, String), (i64, u64)>,
}

impl PlainGate {
    pub fn new(specs: &[RuleSpec]) -> PlainGate {
        PlainGate {
            specs: specs.to_vec(),
            groups: specs.iter().map(|_| BTreeMap::new()).collect(),
            heard: BTreeMap::new(),
            passed: BTreeMap::new(),
        }
    }

    pub fn run(&mut self, calls: &[Call]) -> Vec<Option<Decision>> {
        calls.iter().enumerate().map(|(n, call)| self.take(&event(n, call), call.asks)).collect()
    }

    /// Other rules, one of which begins anew.
    pub fn reload(&mut self, specs: &[RuleSpec], changed: usize) {
        let same = (0..specs.len()).find(|n| *n != changed && self.specs[*n].finds_as(&specs[changed]));
        self.groups[changed] = same.map(|n| self.groups[n].clone()).unwrap_or_default();
        self.specs = specs.to_vec();
    }

    /// Whether the rule holds for an event that counts so.
    fn answer(&mut self, rule: usize, event: &UsageEvent<'static>, how: How) -> bool {
        let spec = &self.specs[rule];
        let Some(group) = group_of(spec, event) else { return false };
        let (step, late) = (event.ts().0.div_euclid(spec.step), (LATENESS + spec.step - 1) / spec.step);
        let known = self.groups[rule].contains_key(&group);
        if !known && matches!(how, How::Known | How::Ask) {
            return matches!(how, How::Ask) && holds(spec, &[event]);
        }
        let group = self.groups[rule].entry(group).or_insert_with(|| Group { newest: step, counted: Vec::new() });
        if step < group.newest - late {
            return false;
        }
        let panes = spec.length / spec.step;
        if matches!(how, How::Count | How::Ahead(_)) && step > group.newest {
            // A call that no window holds any more is not under way for the rule.
            group.newest = step;
            group.counted.retain(|c| c.ahead.is_none() || c.step > step - panes - late);
        }
        let put = |group: &mut Group, ahead: Option<String>| {
            group.counted.push(Counted { step, event: event.clone(), ahead });
        };
        if let How::Ahead(_) = how {
            group.counted.retain(|c| c.ahead.is_none() || c.until() > event.ts());
        }
        match &how {
            How::Count => {
                let call = said(event, FieldId::CALL).filter(|_| event.kind() == Kind::Completion);
                group.counted.retain(|c| c.ahead.is_none() || c.ahead != call);
                put(group, None);
            }
            How::Ahead(call) if group.counted.iter().any(|c| c.ahead.as_ref() == Some(call)) => {}
            How::Ahead(call) => put(group, Some(call.clone())),
            How::Ask | How::Known => {}
        }
        let within = group.counted.iter().filter(|c| c.step > step - panes && c.step <= step);
        let within = within.filter(|c| c.ahead.is_none() || c.until() > event.ts()).map(|c| &c.event);
        let asked = matches!(how, How::Ask).then_some(event);
        holds(spec, &within.chain(asked).collect::<Vec<_>>())
    }

    /// A completion that is not a copy: what its call counted ahead goes, except where the completion comes too late.
    fn settle(&mut self, event: &UsageEvent<'static>) {
        let (Kind::Completion, Some(call)) = (event.kind(), said(event, FieldId::CALL)) else { return };
        for (spec, groups) in self.specs.iter().zip(&mut self.groups) {
            let own = group_of(spec, event).filter(|_| spec.kinds.contains(&Kind::Completion));
            for (group, all) in groups {
                if Some(group) != own.as_ref() {
                    all.counted.retain(|c| c.ahead.as_ref() != Some(&call));
                }
            }
        }
    }

    pub fn take(&mut self, event: &UsageEvent<'static>, asks: bool) -> Option<Decision> {
        let before = self.heard.get(event.id()).copied();
        if before.is_some() && !asks {
            return None;
        }
        if before.is_none() {
            self.heard.insert(event.id().to_string(), false);
            self.settle(event);
        }
        let call = said(event, FieldId::CALL);
        let mut fired = Vec::new();
        for rule in 0..self.specs.len() {
            let kinds = self.specs[rule].kinds.clone();
            let how = match (&before, kinds.contains(&event.kind()), &call) {
                (None, true, _) => How::Count,
                (Some(_), true, _) => How::Known,
                _ if !asks || event.kind() != Kind::Request || !kinds.contains(&Kind::Completion) => continue,
                (_, false, Some(call)) => How::Ahead(call.clone()),
                (_, false, None) => How::Ask,
            };
            if self.answer(rule, event, how) && asks {
                fired.push(rule);
            }
        }
        asks.then(|| self.decide(event, before, fired))
    }

    fn decide(&mut self, event: &UsageEvent<'static>, before: Option<bool>, mut fired: Vec<usize>) -> Decision {
        let mut decision = Decision::default();
        let mut taken = Vec::new();
        fired.retain(|rule| self.specs[*rule].action != "after review: block account");
        for rule in &fired {
            let spec = &self.specs[*rule];
            let strictest = match spec.action {
                "block account" => Verdict::Block,
                "flag account" => Verdict::Flag,
                "challenge account" => Verdict::Challenge,
                throttle => {
                    let words: Vec<&str> = throttle.split(' ').collect();
                    let most: u64 = words[3].parse().unwrap();
                    let per = words[5].trim_end_matches('m').parse::<i64>().unwrap() * MINUTE_NS;
                    let whom = match words[1] {
                        "account" => said(event, FieldId::ACCOUNT).unwrap(),
                        "key" => said(event, FieldId::KEY).unwrap(),
                        _ => group_of(spec, event).unwrap().join("\u{1f}"),
                    };
                    let span = event.ts().0.div_euclid(per);
                    let used = self.passed.entry((*rule, whom.clone())).or_insert((i64::MIN, 0));
                    if span > used.0 && before != Some(true) {
                        *used = (span, 0);
                    }
                    if before == Some(true) {
                        Verdict::Allow
                    } else if used.1 < most {
                        used.1 += 1;
                        taken.push(((*rule, whom), used.0));
                        Verdict::Allow
                    } else {
                        Verdict::Throttle
                    }
                }
            };
            let effective = match spec.mode {
                "shadow" => Verdict::Allow,
                "flag" => strictest.min(Verdict::Flag),
                _ => strictest,
            };
            decision.verdict = decision.verdict.max(effective);
            decision.would = decision.would.max(if spec.mode == "shadow" { strictest } else { effective });
            decision.rules.push(format!("r{rule}"));
        }
        if decision.verdict.passes() {
            self.heard.insert(event.id().to_string(), true);
        } else {
            for (key, span) in taken {
                let used = self.passed.get_mut(&key).unwrap();
                used.1 -= u64::from(used.0 == span);
            }
            let Some(call) = said(event, FieldId::CALL).filter(|_| event.kind() == Kind::Request) else {
                return decision;
            };
            for (spec, groups) in self.specs.iter().zip(&mut self.groups) {
                if let Some(group) = group_of(spec, event).and_then(|group| groups.get_mut(&group)) {
                    group.counted.retain(|c| c.ahead.as_ref() != Some(&call));
                }
            }
        }
        decision
    }
}

/// How an event counts.
enum How {
    Count,
    Ahead(String),
    Ask,
    Known,
}
