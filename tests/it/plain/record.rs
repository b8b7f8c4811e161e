//! The record of a finding, put together from what was seen.

use std::collections::{BTreeMap, BTreeSet};

use fineprint::event::FieldId;
use fineprint::event::fields::FIELDS;
use fineprint::hir::{
    ClauseRef, Compare, Expr, ExprKind, Piece, Program, Rule, Sequence, Windowed, key_type, rule_hash,
};
use fineprint::time::Timestamp;
use fineprint::value::{Type, Value};
use fineprint::violation::{
    Bound, Considered, EVIDENCE_CROSSING, EVIDENCE_EVENTS_MAX, EVIDENCE_FIRST, EVIDENCE_LAST, EVIDENCE_SAMPLE,
    Enforced, Estimate, EventRef, Evidence, Observed, Role, Scalar, Status, Violation,
};
use sha2::{Digest, Sha256};

use super::expr::{Interpreter, Scope, Val, children, mirrored, same};
use super::sequence;
use super::window::{Episode, Event, Group, Look, applies};

/// The record of a single event.
pub fn single(calc: &Interpreter<'_>, rule: &Rule, event: &Event) -> Violation {
    let scope = Scope::Event(event);
    let account = match event.get(FieldId::ACCOUNT) {
        Value::Text(account) => Some(account.to_string()),
        _ => None,
    };
    let mut group: Vec<(String, String)> = account.iter().map(|a| ("account".to_string(), a.clone())).collect();
    for (scope, name, field) in [("key", "api_key_id", FieldId::KEY), ("org", "org", FieldId::ORG)] {
        if let Value::Text(value) = event.get(field)
            && rule.actions.iter().any(|a| a.scope == scope)
        {
            group.push((name.to_string(), value.to_string()));
        }
    }
    let excepted = rule.exceptions.iter().any(|x| applies(calc, x, event));
    let values = rule.lets.iter().map(|(name, value)| {
        let seen = scalar(&calc.value(value, scope));
        Observed {
            name: name.clone(),
            ty: value.ty.clone(),
            crossing: seen.clone(),
            peak: seen.clone(),
            last: seen,
            threshold: None,
            estimates: Vec::new(),
        }
    });
    Violation {
        status: if excepted { Status::Exempted } else { Status::Closed },
        closed_at: Some(event.ts()),
        group,
        accounts: account.into_iter().collect(),
        values: values.collect(),
        evidence: evidence(&[event], &[event]),
        exceptions: considered(calc, rule, &[event]),
        because: because(calc, rule, scope),
        ..blank(calc.program, rule, event.ts(), &[event.id().to_string()])
    }
}

/// The record of an episode.
pub fn windowed(
    calc: &Interpreter<'_>,
    rule: &Rule,
    w: &Windowed,
    group: &Group<'_>,
    episode: &Episode<'_>,
) -> Violation {
    let (first, last) = (episode.looks.first().unwrap(), episode.looks.last().unwrap());
    let scopes: Vec<Scope<'_>> = episode
        .looks
        .iter()
        .map(|look| Scope::Window { end: look.end, aggregates: &look.aggregates, keys: &group.keys, link: None })
        .collect();

    let names = unique(w.per.iter().map(|part| key_name(calc.program, part)));
    let texts = |keys: &[Val]| -> Vec<String> {
        keys.iter().zip(&w.per).map(|(value, part)| value.text(key_type(part))).collect()
    };
    let named = |keys: &[Val], opened: Timestamp| -> Vec<String> {
        texts(keys).into_iter().chain([opened.0.to_string()]).collect()
    };
    let (id, texts) = (named(&group.keys, first.end), texts(&group.keys));
    let merged_into = episode.merged_into.as_ref();

    // (time, id) tells events apart: of one id, no two of one time are taken in.
    let contributing: BTreeMap<(Timestamp, &str), &Event> =
        episode.looks.iter().flat_map(|look| &look.contributing).map(|e| ((e.ts(), e.id()), *e)).collect();
    let contributing: Vec<&Event> = contributing.into_values().collect();
    let accounts: BTreeSet<&str> = contributing
        .iter()
        .filter_map(|e| if let Value::Text(account) = e.get(FieldId::ACCOUNT) { Some(account) } else { None })
        .collect();

    Violation {
        status: match (episode.exempted, episode.closed_at) {
            _ if merged_into.is_some() => Status::Merged,
            (true, _) => Status::Exempted,
            (false, None) => Status::Open,
            (false, Some(_)) => Status::Closed,
        },
        updated_at: last.end,
        closed_at: episode.closed_at,
        group: names.into_iter().zip(texts).collect(),
        window: Some((first.start, first.end)),
        accounts: accounts.into_iter().map(str::to_string).collect(),
        values: named_values(rule, w)
            .into_iter()
            .map(|(name, value)| Observed {
                estimates: estimates(w, &value, &episode.looks),
                ..observed(calc, w, name, &value, &scopes)
            })
            .chain(values_of_baselines(rule, w, &episode.looks))
            .chain(merged(rule, w, &episode.groups))
            .collect(),
        evidence: evidence(&contributing, &first.contributing),
        exceptions: considered(calc, rule, &episode.first_window),
        because: because(calc, rule, scopes[0]),
        merged_into: merged_into.map(|(keys, opened)| blank(calc.program, rule, *opened, &named(keys, *opened)).id),
        ..blank(calc.program, rule, first.end, &id)
    }
}

/// How many groups were merged.
fn merged(rule: &Rule, w: &Windowed, groups: &[i64]) -> Option<Observed> {
    let mut name = "fingerprints".to_string();
    while named_values(rule, w).iter().any(|(known, _)| *known == name) {
        name = format!("merged_{name}");
    }
    let number = |n: &i64| Some(Scalar::Num(*n));
    Some(Observed {
        name,
        ty: Type::Integer,
        crossing: number(groups.first()?),
        peak: number(groups.iter().max()?),
        last: number(groups.last()?),
        threshold: None,
        estimates: Vec::new(),
    })
}

/// The record of matches of a sequence.
pub fn sequence(calc: &Interpreter<'_>, rule: &Rule, s: &Sequence, found: &sequence::Found<'_>) -> Violation {
    let scopes: Vec<Scope<'_>> =
        found.matches.iter().map(|m| Scope::Match { at: m.at, taken: &m.taken, keys: &found.keys }).collect();
    let (first, last) = (found.matches[0].at, found.matches.last().unwrap().at);
    let names = unique(s.per.iter().map(|part| key_name(calc.program, part)));
    let texts: Vec<String> = found.keys.iter().zip(&s.per).map(|(value, part)| value.text(&part.ty)).collect();
    let mut id = texts.clone();
    id.push(first.0.to_string());
    id.extend(found.exempted.then(|| "exempted".to_string()));

    let counted = |name: &str, crossing: u64, last: u64, exact: bool| Observed {
        name: name.to_string(),
        ty: Type::Integer,
        crossing: Some(Scalar::Num(crossing as i64)),
        peak: Some(Scalar::Num(last as i64)),
        last: Some(Scalar::Num(last as i64)),
        threshold: None,
        estimates: if exact {
            Vec::new()
        } else {
            vec![Estimate { aggregate: name.to_string(), bound: Bound::AtLeast }]
        },
    };
    let opening = sequence::opening(found);
    let mut values = vec![counted("matches", opening.len() as u64, found.matches.len() as u64, found.dropped == 0)];
    for (name, value) in &rule.lets {
        let seen: Vec<Option<Scalar>> = scopes.iter().map(|scope| scalar(&calc.value(value, *scope))).collect();
        let numbers = seen.iter().flatten().filter(|s| matches!(s, Scalar::Num(_))).cloned();
        values.push(Observed {
            name: name.clone(),
            ty: value.ty.clone(),
            crossing: seen[0].clone(),
            // What is no number has no peak of its own: it shows what it was at the crossing.
            peak: if value.ty.is_number() { numbers.max() } else { seen[0].clone() },
            last: seen.last().unwrap().clone(),
            threshold: None,
            estimates: Vec::new(),
        });
    }
    if found.dropped > 0 {
        values.push(counted("partial_matches_dropped", found.dropped, found.dropped, true));
    }
    let (all, crossing) = (sequence::events(&found.matches), sequence::events(opening));
    Violation {
        status: match (found.exempted, found.closed_at) {
            (true, _) => Status::Exempted,
            (false, None) => Status::Open,
            (false, Some(_)) => Status::Closed,
        },
        updated_at: last,
        closed_at: found.closed_at,
        group: names.into_iter().zip(texts).collect(),
        accounts: sequence::accounts(&all),
        values,
        evidence: evidence(&all, &crossing),
        exceptions: considered(calc, rule, &crossing),
        because: because(calc, rule, scopes[0]),
        ..blank(calc.program, rule, first, &id)
    }
}

/// What follows from the rule and the moment alone.
pub fn blank(program: &Program, rule: &Rule, opened_at: Timestamp, id: &[String]) -> Violation {
    let hash = rule_hash(program, rule);
    let mut sha = Sha256::new();
    for part in [&rule.name, &hash].into_iter().chain(id) {
        sha.update(u32::try_from(part.len()).unwrap().to_be_bytes());
        sha.update(part.as_bytes());
    }
    Violation {
        id: hex(&sha.finalize()[..16]),
        rule: rule.name.clone(),
        rule_hash: hash,
        clauses: rule.enforces.iter().filter_map(|clause| enforced(program, clause, opened_at)).collect(),
        severity: rule.severity,
        confidence: rule.confidence,
        mode: rule.mode,
        status: Status::Open,
        opened_at,
        updated_at: opened_at,
        closed_at: None,
        merged_into: None,
        group: Vec::new(),
        window: None,
        accounts: Vec::new(),
        values: Vec::new(),
        evidence: Evidence::default(),
        link: None,
        exceptions: Vec::new(),
        actions: Vec::new(),
        because: String::new(),
        mistaken_for: rule.mistaken_for.clone(),
    }
}

/// The latest version that had begun when the violation opened; before the first of them, that one, not in force.
fn enforced(program: &Program, clause: &ClauseRef, opened_at: Timestamp) -> Option<Enforced> {
    let version = |(policy, clause): &(u32, u32)| {
        let policy = &program.policies[*policy as usize];
        (policy, &policy.clauses[*clause as usize])
    };
    let versions: Vec<_> = clause.versions.iter().map(version).collect();
    let begun = versions.iter().filter(|(_, clause)| clause.from <= opened_at).max_by_key(|(_, clause)| clause.from);
    let (policy, found) = begun.or(versions.first())?;
    Some(Enforced {
        policy: clause.policy.clone(),
        version: policy.version.clone(),
        clause: clause.clause.clone(),
        section: found.section.clone(),
        says: found.says.clone(),
        from: found.from,
        in_force: found.from <= opened_at && found.until.is_none_or(|until| opened_at < until),
    })
}

pub fn because(calc: &Interpreter<'_>, rule: &Rule, scope: Scope<'_>) -> String {
    let piece = |piece: &Piece| match piece {
        Piece::Text(text) => text.clone(),
        Piece::Value(_, value) => calc.value(value, scope).text(&value.ty),
    };
    rule.because.iter().map(piece).collect()
}

/// Each exception by itself: what it took out of the first true window, others apart.
pub fn considered(calc: &Interpreter<'_>, rule: &Rule, window: &[&Event]) -> Vec<Considered> {
    let one = |x: &fineprint::hir::Exception| Considered {
        because: x.because.clone(),
        owner: x.owner.clone(),
        evidence: x.evidence.clone(),
        took_out: window.iter().filter(|e| applies(calc, x, e)).count() as u64,
    };
    rule.exceptions.iter().map(one).collect()
}

/// The name of a part of a group.
pub fn key_name(program: &Program, part: &Expr) -> String {
    match &part.kind {
        ExprKind::Field(field) => FIELDS[usize::from(field.0)].name.to_string(),
        ExprKind::Column(table, column) => {
            let table = &program.tables[table.0 as usize];
            format!("{}.{}", table.name, table.columns[usize::from(*column)].0)
        }
        ExprKind::Network(..) => "network".to_string(),
        ExprKind::Lower(a) | ExprKind::OrDefault(a, _) | ExprKind::ToMicros(a) => key_name(program, a),
        ExprKind::Length(_) => "length".to_string(),
        ExprKind::Template(..) => "template".to_string(),
        _ => "value".to_string(),
    }
}

/// Names made unique: the second of a name is `name_2`.
fn unique(names: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut taken: Vec<String> = Vec::new();
    for name in names {
        let fresh =
            std::iter::once(name.clone()).chain((2..).map(|i| format!("{name}_{i}"))).find(|n| !taken.contains(n));
        taken.extend(fresh);
    }
    taken
}

/// The values of a record: every `let`, then the aggregates that stand in `when` outside of what a `let` names, under the
/// name of their function, in the order of `when`.
pub fn named_values(rule: &Rule, w: &Windowed) -> Vec<(String, Expr)> {
    fn nameless<'e>(e: &'e Expr, lets: &[(String, Expr)], found: &mut Vec<&'e Expr>) {
        if lets.iter().any(|(_, value)| same(value, e)) || found.iter().any(|f| same(f, e)) {
            return;
        }
        if matches!(e.kind, ExprKind::Aggregate(_) | ExprKind::Link(_)) {
            found.push(e);
        }
        for child in children(e) {
            nameless(child, lets, found);
        }
    }
    fn baselines<'e>(w: &Windowed, e: &'e Expr, lets: &[(String, Expr)], found: &mut Vec<&'e Expr>) {
        let is = |i: u16| w.aggregates[usize::from(i)].function.baseline().is_some();
        let known = lets.iter().any(|(_, value)| same(value, e)) || found.iter().any(|f| same(f, e));
        if !known && matches!(e.kind, ExprKind::Aggregate(i) if is(i)) {
            found.push(e);
        }
        children(e).into_iter().for_each(|child| baselines(w, child, lets, found));
    }
    let mut found = Vec::new();
    nameless(&w.when, &rule.lets, &mut found);
    for e in rule.lets.iter().map(|(_, value)| value).chain([&w.when]) {
        baselines(w, e, &rule.lets, &mut found);
    }
    let function = |e: &&Expr| match e.kind {
        ExprKind::Aggregate(i) => w.aggregates[usize::from(i)].function.word().to_string(),
        ExprKind::Link(value) => value.word().to_string(),
        _ => unreachable!(),
    };
    let names = unique(rule.lets.iter().map(|(name, _)| name.clone()).chain(found.iter().map(function)));
    names.into_iter().zip(rule.lets.iter().map(|(_, value)| value).chain(found).cloned()).collect()
}

/// On how many values each baseline rests, under names that no other value has.
pub fn values_of_baselines(rule: &Rule, w: &Windowed, looks: &[Look<'_>]) -> Vec<Observed> {
    let before: Vec<String> = named_values(rule, w).into_iter().map(|(name, _)| name).collect();
    let words = w.aggregates.iter().filter_map(|a| a.function.baseline()).map(|b| format!("{}_values", b.word()));
    let names = unique(before.iter().cloned().chain(words)).split_off(before.len());
    let one = |(number, name): (usize, String)| {
        let seen: Vec<Option<Scalar>> = looks.iter().map(|look| look.rests_on[number].map(Scalar::Num)).collect();
        Observed {
            name,
            ty: Type::Integer,
            crossing: seen[0].clone(),
            peak: seen.iter().flatten().max().cloned(),
            last: seen.last().unwrap().clone(),
            threshold: None,
            estimates: Vec::new(),
        }
    };
    names.into_iter().enumerate().map(one).collect()
}

pub fn observed(calc: &Interpreter<'_>, w: &Windowed, name: String, value: &Expr, scopes: &[Scope<'_>]) -> Observed {
    let seen: Vec<Option<Scalar>> = scopes.iter().map(|scope| scalar(&calc.value(value, *scope))).collect();
    let threshold = threshold(&w.when, value);
    let numbers = seen.iter().flatten().filter(|s| matches!(s, Scalar::Num(_))).cloned();
    let peak = match threshold {
        // What is no number has no peak of its own: it shows what it was at the crossing.
        _ if !value.ty.is_number() => seen[0].clone(),
        Some((Compare::Less | Compare::LessEqual, _)) => numbers.min(),
        _ => numbers.max(),
    };
    Observed {
        name,
        ty: value.ty.clone(),
        crossing: seen[0].clone(),
        peak,
        last: seen.last().unwrap().clone(),
        threshold: threshold.map(|(op, bound)| (op.symbol(), bound)),
        estimates: Vec::new(),
    }
}

/// The aggregates in a value that were estimates at any true step.
pub fn estimates(w: &Windowed, value: &Expr, looks: &[Look<'_>]) -> Vec<Estimate> {
    let mut found: BTreeSet<(u16, Bound)> = BTreeSet::new();
    let mut open = vec![value];
    while let Some(e) = open.pop() {
        if let ExprKind::Aggregate(i) = e.kind {
            found.extend(looks.iter().flat_map(|look| look.bounds[usize::from(i)].clone()));
        }
        open.extend(children(e));
    }
    let word = |i: u16| w.aggregates[usize::from(i)].function.word().to_string();
    found.into_iter().map(|(i, bound)| Estimate { aggregate: word(i), bound }).collect()
}

/// What a value is held against in `when`: the first comparison of it with a constant, on either side of it, that is under
/// no `not` and in no larger expression than `and`, `or` and `at least`.
fn threshold(when: &Expr, value: &Expr) -> Option<(Compare, Scalar)> {
    match &when.kind {
        ExprKind::And(all) | ExprKind::Or(all) | ExprKind::AtLeast(_, all) => {
            all.iter().find_map(|e| threshold(e, value))
        }
        ExprKind::Compare(op, a, b) => match (&a.kind, &b.kind) {
            (_, ExprKind::Const(bound)) if same(a, value) => Some((*op, scalar(&Val::from(bound))?)),
            (ExprKind::Const(bound), _) if same(b, value) => Some((mirrored(*op), scalar(&Val::from(bound))?)),
            _ => None,
        },
        _ => None,
    }
}

fn scalar(value: &Val) -> Option<Scalar> {
    match value {
        Val::Unknown => None,
        Val::Bool(b) => Some(Scalar::Bool(*b)),
        Val::Num(n) => Some(Scalar::Num(*n)),
        Val::Text(t) => Some(Scalar::Text(t.clone())),
        Val::Ip(ip) => Some(Scalar::Text(ip.to_string())),
        Val::Net(net) => Some(Scalar::Text(net.to_string())),
        Val::Texts(items) => Some(Scalar::Text(items.join(", "))),
    }
}

/// The evidence of events in order of (time, id); `crossing` are those of the first true window.
pub fn evidence(events: &[&Event], crossing: &[&Event]) -> Evidence {
    let leaves: Vec<[u8; 32]> = events.iter().map(|e| leaf(e)).collect();
    let place = |e: &Event| (e.ts(), e.id().to_string());
    let mut roles: BTreeMap<(Timestamp, String), Role> = BTreeMap::new();
    let complete = events.len() <= EVIDENCE_EVENTS_MAX;
    if complete {
        roles.extend(events.iter().map(|e| (place(e), Role::All)));
    } else {
        let mut by_leaf: Vec<(&[u8; 32], &&Event)> = leaves.iter().zip(events).collect();
        by_leaf.sort_by_key(|(leaf, e)| (**leaf, place(e)));
        let first = events.iter().take(EVIDENCE_FIRST);
        let before = crossing.iter().rev().take(EVIDENCE_CROSSING);
        let last = events.iter().rev().take(EVIDENCE_LAST);
        let sample = by_leaf.into_iter().map(|(_, e)| e).take(EVIDENCE_SAMPLE);
        let listed = first.map(|e| (e, Role::First)).chain(before.map(|e| (e, Role::Crossing)));
        for (e, role) in listed.chain(last.map(|e| (e, Role::Last))).chain(sample.map(|e| (e, Role::Sample))) {
            roles.entry(place(e)).or_insert(role);
        }
    }
    Evidence {
        count: events.len() as u64,
        root: hex(&tree_hash(&leaves)),
        events: roles.into_iter().map(|((ts, id), role)| EventRef { id, ts, role }).collect(),
        complete,
        forgotten: 0,
        undecided: 0,
        memory_cut_since: None,
        state_cut_at: None,
    }
}

fn leaf(event: &Event) -> [u8; 32] {
    let mut sha = Sha256::new();
    sha.update([0]);
    sha.update(event.id().as_bytes());
    sha.update([0]);
    sha.update(event.content().to_be_bytes());
    sha.finalize().into()
}

/// The Merkle tree hash of RFC 6962 over leaves that are hashed already.
fn tree_hash(leaves: &[[u8; 32]]) -> [u8; 32] {
    match leaves {
        [] => Sha256::digest([]).into(),
        [one] => *one,
        _ => {
            let mut split = 1;
            while split * 2 < leaves.len() {
                split *= 2;
            }
            let mut sha = Sha256::new();
            sha.update([1]);
            sha.update(tree_hash(&leaves[..split]));
            sha.update(tree_hash(&leaves[split..]));
            sha.finalize().into()
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
