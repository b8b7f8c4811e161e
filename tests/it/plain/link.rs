//! Link groups: at every step the edges, the ties, the accounts that hang together and what became of the groups before,
//! all from the sightings themselves. Then the rule's windows over each group.

use std::collections::{BTreeMap, BTreeSet};

use fineprint::eval::EvalOptions;
use fineprint::event::FieldId;
use fineprint::hir::{Link, Rule, Windowed};
use fineprint::template::FingerprintKey;
use fineprint::time::Timestamp;
use fineprint::value::{Type, Value};
use fineprint::violation::{EVIDENCE_EDGES_MAX, LinkEdge, LinkEvidence, Merged, Observed, Status, Violation};
use sha2::{Digest, Sha256};

use super::aggregate::Window;
use super::baseline::{Past, aggregates};
use super::expr::{Interpreter, Scope, Val};
use super::record::{because, blank, considered, estimates, evidence, named_values, observed, values_of_baselines};
use super::window::{Event, Look, applies};

/// What expressions may say of a group.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    pub members: usize,
    /// Names of the families of which two accounts or more share a value.
    pub families: Vec<String>,
    /// Per family, how many accounts share a value with another.
    pub tied: Vec<usize>,
}

type Account = String;
/// Family, value, account.
type Edge = (usize, Val, Account);

#[derive(Debug, Clone)]
struct Group {
    name: String,
    founder: Account,
    formed: Timestamp,
    earliest: i64,
    members: BTreeSet<Account>,
}

/// Sightings as far as they count.
#[derive(Default)]
struct Sightings {
    /// Step and edge.
    rows: Vec<(i64, Edge)>,
    /// First sighting since the edge was last absent, and the last.
    life: BTreeMap<Edge, (i64, i64)>,
    lost_since: Option<i64>,
}

impl Sightings {
    /// Drops rows, and the life of edges without any.
    fn keep(&mut self, keep: impl Fn(&(i64, Edge)) -> bool) {
        self.rows.retain(keep);
        let held: BTreeSet<&Edge> = self.rows.iter().map(|(_, edge)| edge).collect();
        self.life.retain(|edge, _| held.contains(edge));
    }

    fn see(&mut self, edge: Edge, ts: i64, pane: i64, most: usize, end: Timestamp) {
        let family = edge.0;
        while !self.life.contains_key(&edge) && self.life.keys().filter(|e| e.0 == family).count() >= most {
            self.lost_since.get_or_insert(end.0);
            let oldest = self.rows.iter().filter(|(_, e)| e.0 == family).map(|(pane, _)| *pane).min();
            match oldest.filter(|oldest| *oldest < pane) {
                Some(oldest) => self.keep(|(pane, e)| e.0 != family || *pane > oldest),
                None => return,
            }
        }
        self.life.entry(edge.clone()).or_insert((ts, ts)).1 = ts;
        self.rows.push((pane, edge));
    }
}

/// One moment at which the condition was true of a group.
struct Seen<'e> {
    look: Look<'e>,
    facts: Facts,
    members: BTreeSet<Account>,
    edges: Vec<LinkEdge>,
}

struct Episode<'e> {
    group: String,
    seen: Vec<Seen<'e>>,
    first_window: Vec<&'e Event>,
    closed_at: Option<Timestamp>,
    exempted: bool,
    merged: Option<(String, Option<Timestamp>)>,
}

/// What an event is seen with.
fn values(calc: &Interpreter<'_>, link: &Link, event: &Event) -> Vec<(usize, Val)> {
    let mut found = BTreeSet::new();
    for (f, family) in link.families.iter().enumerate() {
        let items = match calc.value(&family.of, Scope::Event(event)) {
            Val::Unknown => Vec::new(),
            Val::Texts(items) => items.into_iter().map(Val::Text).collect(),
            one => vec![one],
        };
        let ignored = |v: &Val| family.ignoring.iter().any(|list| calc.rows.contains(*list, v, event.ts()));
        found.extend(items.into_iter().filter(|v| !ignored(v)).map(|v| (f, v)));
    }
    found.into_iter().collect()
}

fn account(event: &Event) -> Option<Account> {
    if let Value::Text(account) = event.get(FieldId::ACCOUNT) { Some(account.to_string()) } else { None }
}

/// All that holds at the end of one step.
struct Moment {
    /// Accounts of each value that ties.
    tying: BTreeMap<(usize, Val), BTreeSet<Account>>,
    /// Values left out for want of room.
    ignored: usize,
}

fn moment(sightings: &Sightings, link: &Link, most_pairs: u64) -> Moment {
    let mut holders: BTreeMap<(usize, Val), (BTreeSet<Account>, u64)> = BTreeMap::new();
    for (_, (f, value, account)) in &sightings.rows {
        let (accounts, uses) = holders.entry((*f, value.clone())).or_default();
        accounts.insert(account.clone());
        *uses += 1;
    }
    let may: BTreeMap<(usize, Val), BTreeSet<Account>> = holders
        .into_iter()
        .filter(|((f, _), (accounts, uses))| {
            let family = &link.families[*f];
            accounts.len() >= 2 && accounts.len() as u64 <= u64::from(family.cap) && *uses >= family.used
        })
        .map(|(value, (accounts, _))| (value, accounts))
        .collect();
    // Values of the fewest accounts first, all of one number or none.
    let mut largest = usize::MAX;
    let mut pairs = 0;
    for size in 2..=may.values().map(BTreeSet::len).max().unwrap_or(0) {
        let n = may.values().filter(|accounts| accounts.len() == size).count() as u64;
        pairs += n * (size * (size - 1) / 2) as u64;
        if pairs > most_pairs {
            largest = size - 1;
            break;
        }
    }
    let ignored = may.values().filter(|accounts| accounts.len() > largest).count();
    let tying = may.into_iter().filter(|(_, accounts)| accounts.len() <= largest).collect();
    Moment { tying, ignored }
}

impl Moment {
    /// Accounts that hang together by ties.
    fn components(&self, link: &Link) -> Vec<BTreeSet<Account>> {
        let accounts: BTreeSet<&Account> = self.tying.values().flatten().collect();
        let tied = |a: &Account, b: &Account| {
            let share = |f: usize| self.tying.iter().any(|((g, _), s)| *g == f && s.contains(a) && s.contains(b));
            (0..link.families.len()).filter(|f| share(*f)).count() >= link.needs as usize
        };
        let mut left: BTreeSet<&Account> = accounts.clone();
        let mut found = Vec::new();
        while let Some(start) = left.pop_first() {
            let mut members = vec![start];
            let mut at = 0;
            while at < members.len() {
                let more: Vec<&Account> = left.iter().copied().filter(|b| tied(members[at], b)).collect();
                more.iter().for_each(|b| {
                    left.remove(*b);
                });
                members.extend(more);
                at += 1;
            }
            if members.len() > 1 {
                found.push(members.into_iter().cloned().collect());
            }
        }
        found
    }

    /// The edges that two of some accounts have in common.
    fn edges(&self, members: &BTreeSet<Account>) -> Vec<Edge> {
        let mut found = Vec::new();
        for ((f, value), holders) in &self.tying {
            let own: Vec<&Account> = holders.intersection(members).collect();
            if own.len() > 1 {
                found.extend(own.into_iter().map(|account| (*f, value.clone(), account.clone())));
            }
        }
        found
    }
}

/// Which groups go on, which are new, which became part of others.
fn go_on(
    before: &[Group],
    components: Vec<BTreeSet<Account>>,
    earliest: impl Fn(&BTreeSet<Account>) -> (i64, Account),
    end: Timestamp,
) -> (Vec<Group>, BTreeMap<String, String>) {
    let mut claims: Vec<Vec<&Group>> = vec![Vec::new(); components.len()];
    for group in before {
        let held = |c: &BTreeSet<Account>| c.intersection(&group.members).count();
        let best = (0..components.len())
            .filter(|n| held(&components[*n]) > 0)
            .max_by_key(|n| (held(&components[*n]), std::cmp::Reverse(components[*n].first().cloned())));
        if let Some(best) = best {
            claims[best].push(group);
        }
    }
    let (mut now, mut merged) = (Vec::new(), BTreeMap::new());
    for (members, mut claims) in components.into_iter().zip(claims) {
        claims.sort_by_key(|g| (g.earliest, g.formed, g.founder.clone()));
        let (first, founder) = earliest(&members);
        let least = claims.iter().map(|g| g.earliest).fold(first, i64::min);
        let group = match claims.first() {
            Some(oldest) => Group { members, earliest: least, ..(*oldest).clone() },
            None => Group { name: format!("{founder} since {end}"), founder, formed: end, earliest: first, members },
        };
        merged.extend(claims.iter().skip(1).map(|g| (g.name.clone(), group.name.clone())));
        now.push(group);
    }
    (now, merged)
}

/// All violations of a rule that groups by a link.
pub fn found<'e>(
    calc: &Interpreter<'_>,
    rule: &Rule,
    w: &Windowed,
    events: &[&'e Event],
    horizon: Timestamp,
    options: &EvalOptions,
) -> Vec<Violation> {
    let link = &calc.program.links[w.link.unwrap().0 as usize];
    let step = w.step.0;
    let Some(first) = events.first() else { return Vec::new() };
    let counted: Vec<(&'e Event, Account)> = events
        .iter()
        .filter(|e| rule.kinds.contains(&e.kind()) && calc.is_true(rule.filter.as_ref(), Scope::Event(e)))
        .filter_map(|e| Some((*e, account(e)?)))
        .collect();
    let mut sightings = Sightings::default();
    let mut groups: Vec<Group> = Vec::new();
    let mut machines: BTreeMap<String, [Option<Episode<'e>>; 2]> = BTreeMap::new();
    let mut over: Vec<Episode<'e>> = Vec::new();
    let pause = w.step.max(rule.cooldown.unwrap_or(w.step));
    let mut end = Timestamp((first.ts().0.div_euclid(step) + 1) * step);
    while end <= horizon {
        let number = end.0 / step;
        for event in events.iter().filter(|e| end.0 - step <= e.ts().0 && e.ts() < end) {
            for (f, value) in account(event).map_or(Vec::new(), |_| values(calc, link, event)) {
                sightings.see((f, value, account(event).unwrap()), event.ts().0, number - 1, options.link_edges, end);
            }
        }
        let panes = |f: usize| link.families[f].within.0 / step;
        sightings.keep(|(pane, (f, ..))| *pane >= number - panes(*f));
        let now = moment(&sightings, link, options.link_pairs);
        if now.ignored > 0 {
            sightings.lost_since.get_or_insert(end.0);
        }
        let earliest = |members: &BTreeSet<Account>| {
            now.edges(members).into_iter().map(|e| (sightings.life[&e].0, e.2)).min().unwrap()
        };
        let (next, merged) = go_on(&groups, now.components(link), earliest, end);
        groups = next;

        // What was under way for groups that are no more goes on until it is over; for those that became part of others
        // it ends now, if it is not over by itself.
        let mut moving = Vec::new();
        for (from, into) in &merged {
            for episode in machines.remove(from).into_iter().flatten().flatten() {
                let silent = end.since(episode.seen.last().unwrap().look.end);
                // One that held until now does not close by itself.
                if silent > w.step && silent >= pause {
                    over.push(Episode { closed_at: Some(end), ..episode });
                } else {
                    moving.push((into.clone(), episode));
                }
            }
        }
        let names: BTreeSet<String> = groups.iter().map(|g| g.name.clone()).chain(machines.keys().cloned()).collect();
        for name in names {
            let members = groups.iter().find(|g| g.name == name).map(|g| g.members.clone()).unwrap_or_default();
            let start = Timestamp(end.0 - w.length.0);
            let within = |e: &Event| start <= e.ts() && e.ts() < end;
            let all: Vec<&'e Event> =
                counted.iter().filter(|(e, a)| within(e) && members.contains(a)).map(|(e, _)| *e).collect();
            let kept: Vec<&'e Event> =
                all.iter().copied().filter(|e| !rule.exceptions.iter().any(|x| applies(calc, x, e))).collect();
            let edges = now.edges(&members);
            let facts = facts(link, &members, &edges);
            let theirs: Vec<&'e Event> = counted.iter().filter(|(_, a)| members.contains(a)).map(|(e, _)| *e).collect();
            let past = Past::together(calc, rule, w, &theirs, &facts);
            let look = |events: Vec<&'e Event>, raw: bool| -> Option<Seen<'e>> {
                let window = Window { start, end, step: w.step, events };
                let look = look(calc, w, &name, &facts, (&past, raw), window)?;
                let edges = edges.iter().map(|e| shown(link, &sightings, &now, e)).collect::<Vec<_>>();
                Some(Seen { look, facts: facts.clone(), members: members.clone(), edges: sorted(link, edges) })
            };
            let net = look(kept, false);
            let raw = if net.is_some() { None } else { look(all.clone(), true) };
            let machine = machines.entry(name.clone()).or_default();
            for (at, seen) in [(0, net), (1, raw)] {
                match (&mut machine[at], seen) {
                    (Some(episode), Some(seen)) => episode.seen.push(seen),
                    (None, Some(seen)) => {
                        machine[at] = Some(Episode {
                            group: name.clone(),
                            seen: vec![seen],
                            first_window: all.clone(),
                            closed_at: None,
                            exempted: at == 1,
                            merged: None,
                        });
                    }
                    (Some(episode), None) if end.since(episode.seen.last().unwrap().look.end) >= pause => {
                        episode.closed_at = Some(end);
                        over.extend(machine[at].take());
                    }
                    _ => {}
                }
            }
            if machine.iter().all(Option::is_none) {
                machines.remove(&name);
            }
        }
        for (into, episode) in moving {
            let target = machines.get(&into).and_then(|machine| {
                let own = usize::from(episode.exempted);
                machine[own].as_ref().or(machine[1 - own].as_ref())
            });
            let violation = target.map(|t| t.seen[0].look.end);
            over.push(Episode { closed_at: Some(end), merged: Some((into, violation)), ..episode });
        }
        end = Timestamp(end.0 + step);
    }
    over.extend(machines.into_values().flatten().flatten());
    over.iter().map(|episode| record(calc, rule, w, link, episode, sightings.lost_since)).collect()
}

fn facts(link: &Link, members: &BTreeSet<Account>, edges: &[Edge]) -> Facts {
    let tied: Vec<usize> = (0..link.families.len())
        .map(|f| edges.iter().filter(|e| e.0 == f).map(|e| &e.2).collect::<BTreeSet<_>>().len())
        .collect();
    let families = link.families.iter().zip(&tied).filter(|(_, n)| **n > 0).map(|(f, _)| f.name.clone()).collect();
    Facts { members: members.len(), families, tied }
}

fn look<'e>(
    calc: &Interpreter<'_>,
    w: &Windowed,
    name: &str,
    facts: &Facts,
    (past, raw): (&Past<'_>, bool),
    window: Window<'e>,
) -> Option<Look<'e>> {
    let (start, end) = (window.start, window.end);
    if window.events.is_empty() {
        return None;
    }
    let (aggregates, bounds, rests_on) = aggregates(calc, w, (std::slice::from_ref(past), 0), raw, &window);
    let keys = [Val::Text(name.to_string())];
    if !calc.is_true(Some(&w.when), Scope::Window { end, aggregates: &aggregates, keys: &keys, link: Some(facts) }) {
        return None;
    }
    let counting = || w.aggregates.iter().filter(|a| a.function.baseline().is_none());
    let counted = |e: &&&Event| counting().any(|a| calc.is_true(a.filter.as_ref(), Scope::Event(e)));
    let contributing = window.events.iter().filter(counted).copied().collect();
    Some(Look { start, end, aggregates, bounds, rests_on, contributing })
}

fn shown(link: &Link, sightings: &Sightings, now: &Moment, edge: &Edge) -> LinkEdge {
    let (f, value, account) = edge;
    let family = &link.families[*f];
    let ty = match &family.of.ty {
        Type::List(of) => of.as_ref(),
        ty => ty,
    };
    let (first, last) = sightings.life[edge];
    let text = value.text(ty);
    LinkEdge {
        family: family.name.clone(),
        value: if is_personal(family) { seal(&family.name, &text) } else { text },
        account: account.clone(),
        popularity: now.tying[&(*f, value.clone())].len() as u64,
        uses: sightings.rows.iter().filter(|(_, e)| e == edge).count() as u64,
        first_seen: Timestamp(first),
        last_seen: Timestamp(last),
    }
}

fn is_personal(family: &fineprint::hir::Family) -> bool {
    let mut open = vec![&family.of];
    while let Some(e) = open.pop() {
        if matches!(e.kind, fineprint::hir::ExprKind::Field(FieldId::IP | FieldId::USER_AGENT)) {
            return true;
        }
        open.extend(super::expr::children(e));
    }
    false
}

/// A keyed hash under the public key.
fn seal(family: &str, value: &str) -> String {
    assert_eq!(FingerprintKey::default(), FingerprintKey::PUBLIC);
    let mut sha = Sha256::new();
    sha.update(b"fineprint sealed value");
    sha.update(super::template::PUBLIC.secret);
    sha.update(super::template::PUBLIC.epoch.to_be_bytes());
    sha.update((family.len() as u64).to_be_bytes());
    sha.update(family);
    sha.update(value);
    sha.finalize()[..8].iter().map(|b| format!("{b:02x}")).collect()
}

fn sorted(link: &Link, mut edges: Vec<LinkEdge>) -> Vec<LinkEdge> {
    let number = |e: &LinkEdge| link.families.iter().position(|f| f.name == e.family);
    edges.sort_by_key(|e| (number(e), e.value.clone(), e.account.clone()));
    edges
}

fn record(
    calc: &Interpreter<'_>,
    rule: &Rule,
    w: &Windowed,
    link: &Link,
    episode: &Episode<'_>,
    lost_since: Option<i64>,
) -> Violation {
    let keys = [Val::Text(episode.group.clone())];
    let scopes: Vec<Scope<'_>> = episode
        .seen
        .iter()
        .map(|s| Scope::Window { end: s.look.end, aggregates: &s.look.aggregates, keys: &keys, link: Some(&s.facts) })
        .collect();
    let looks: Vec<Look<'_>> = episode.seen.iter().map(|s| s.look.clone()).collect();
    let (first, last) = (looks.first().unwrap(), looks.last().unwrap());
    let contributing: BTreeMap<(Timestamp, &str), &Event> =
        looks.iter().flat_map(|look| &look.contributing).map(|e| ((e.ts(), e.id()), *e)).collect();
    let contributing: Vec<&Event> = contributing.into_values().collect();
    let members: BTreeSet<Account> = episode.seen.iter().flat_map(|s| s.members.iter().cloned()).collect();
    let mut edges: Vec<LinkEdge> = Vec::new();
    for edge in episode.seen.iter().flat_map(|s| &s.edges) {
        let same = |e: &LinkEdge| (&e.family, &e.value, &e.account) == (&edge.family, &edge.value, &edge.account);
        if !edges.iter().any(same) {
            edges.push(edge.clone());
        }
    }
    let n_edges = edges.len() as u64;
    edges.truncate(EVIDENCE_EDGES_MAX);
    let id = |group: &str, first: Timestamp| vec![group.to_string(), first.0.to_string()];
    let merged_into = episode.merged.as_ref().map(|(group, first)| Merged {
        group: group.clone(),
        violation: first.map(|first| blank(calc.program, rule, first, &id(group, first)).id),
    });
    Violation {
        status: match (episode.exempted, episode.closed_at, &merged_into) {
            (true, ..) => Status::Exempted,
            (false, None, _) => Status::Open,
            (false, Some(_), None) => Status::Closed,
            (false, Some(_), Some(_)) => Status::Merged,
        },
        merged_into: merged_into.as_ref().filter(|_| !episode.exempted).and_then(|m| m.violation.clone()),
        updated_at: last.end,
        closed_at: episode.closed_at,
        group: vec![(link.name.clone(), episode.group.clone())],
        window: Some((first.start, first.end)),
        accounts: members.into_iter().collect(),
        values: named_values(rule, w)
            .into_iter()
            .map(|(name, value)| Observed {
                estimates: estimates(w, &value, &looks),
                ..observed(calc, w, name, &value, &scopes)
            })
            .chain(values_of_baselines(rule, w, &looks))
            .collect(),
        evidence: evidence(&contributing, &first.contributing),
        link: Some(Box::new(LinkEvidence {
            name: link.name.clone(),
            needs: link.needs,
            edges,
            n_edges,
            cut_since: lost_since.filter(|since| *since <= first.end.0).map(Timestamp),
            merged_into,
        })),
        exceptions: considered(calc, rule, &episode.first_window),
        because: because(calc, rule, scopes[0]),
        ..blank(calc.program, rule, first.end, &id(&episode.group, first.end))
    }
}
