//! Groups of a template that are one violation, put together at every step from the events of their windows alone.

use std::collections::BTreeSet;

use fineprint::event::FieldId;
use fineprint::hir::{Rule, Windowed};
use fineprint::time::{Duration, Timestamp};
use fineprint::value::Value;

use super::baseline::Past;
use super::expr::{Interpreter, Val};
use super::window::{Episode, Event, Group, Look, Seen};

/// The key of a group, its events, and its number among the groups of the rule.
pub type Part<'e> = (Vec<Val>, Vec<&'e Event>, usize);

/// A violation of several groups.
struct Campaign<'e> {
    keys: Vec<Val>,
    members: BTreeSet<Val>,
    episode: Episode<'e>,
}

/// Those of one rule and one rest of the key, with the events that exceptions take out or without.
struct Side<'e> {
    at: usize,
    pause: Duration,
    exempted: bool,
    open: Vec<Campaign<'e>>,
    over: Vec<Campaign<'e>>,
}

/// A group whose condition holds at a step.
struct Holding<'e> {
    keys: Vec<Val>,
    look: Look<'e>,
    /// Its events that count with the others.
    events: usize,
    /// All events of its window.
    window: Vec<&'e Event>,
}

/// All violations of groups that differ in the part `at` of their keys alone.
pub fn campaigns<'e>(
    calc: &Interpreter<'_>,
    rule: &Rule,
    w: &Windowed,
    at: usize,
    groups: &[Part<'e>],
    pasts: &[Past<'e>],
    horizon: Timestamp,
) -> Vec<Group<'e>> {
    let pause = w.step.max(rule.cooldown.unwrap_or(w.step));
    let side = |exempted| Side { at, pause, exempted, open: Vec::new(), over: Vec::new() };
    let (mut violations, mut exempted) = (side(false), side(true));
    let first = groups.iter().flat_map(|(_, events, _)| events).map(|e| e.ts().0).min().unwrap();
    let mut end = Timestamp((first.div_euclid(w.step.0) + 1) * w.step.0);
    while end <= horizon {
        let (mut net, mut raw, mut present) = (Vec::new(), Vec::new(), BTreeSet::new());
        for (keys, events, own) in groups {
            let past = (pasts, *own);
            let Seen { all, kept, net: certain, raw: with_excepted } = Seen::at(calc, rule, w, keys, events, end, past);
            if !all.is_empty() {
                present.insert(keys[at].clone());
            }
            let holding = |look, events| Holding { keys: keys.clone(), look, events, window: all.clone() };
            match (certain, with_excepted) {
                (Some(look), _) => net.push(holding(look, kept)),
                (None, Some(look)) => raw.push(holding(look, all.len())),
                (None, None) => {}
            }
        }
        violations.step(end, net, &present);
        exempted.step(end, raw, &present);
        end = Timestamp(end.0 + w.step.0);
    }
    let all = [violations, exempted].into_iter().flat_map(|side| side.over.into_iter().chain(side.open));
    all.map(|c| Group { keys: c.keys, episodes: vec![c.episode] }).collect()
}

impl<'e> Side<'e> {
    fn step(&mut self, end: Timestamp, holding: Vec<Holding<'e>>, present: &BTreeSet<Val>) {
        for c in &mut self.open {
            c.members.retain(|value| present.contains(value));
        }
        for campaign in self.together(holding) {
            let values: BTreeSet<Val> = campaign.iter().map(|h| h.keys[self.at].clone()).collect();
            let (mut known, others): (Vec<_>, Vec<_>) =
                std::mem::take(&mut self.open).into_iter().partition(|c| !c.members.is_disjoint(&values));
            self.open = others;
            known.sort_by(|a, b| (a.opened(), &a.keys).cmp(&(b.opened(), &b.keys)));
            let strongest = campaign.iter().max_by_key(|h| (h.events, std::cmp::Reverse(&h.keys))).unwrap();
            let mut contributing: Vec<&Event> = campaign.iter().flat_map(|h| h.look.contributing.clone()).collect();
            contributing.sort_by_key(|e| (e.ts(), e.id()));
            contributing.dedup_by_key(|e| (e.ts(), e.id()));
            let look = Look { contributing, ..strongest.look.clone() };
            let n = campaign.len() as i64;
            let mut known = known.into_iter();
            let mut this = match known.next() {
                Some(mut c) => {
                    c.episode.looks.push(look);
                    c.episode.groups.push(n);
                    c
                }
                None => Campaign {
                    keys: strongest.keys.clone(),
                    members: BTreeSet::new(),
                    episode: Episode {
                        looks: vec![look],
                        first_window: strongest.window.clone(),
                        closed_at: None,
                        exempted: self.exempted,
                        groups: vec![n],
                        merged_into: None,
                    },
                },
            };
            this.members.extend(values);
            for mut other in known {
                other.episode.closed_at = Some(end);
                other.episode.merged_into = Some((this.keys.clone(), this.opened()));
                this.members.append(&mut other.members);
                self.over.push(other);
            }
            self.open.push(this);
        }
        let (mut open, mut over) = (Vec::new(), Vec::new());
        for mut c in std::mem::take(&mut self.open) {
            if end.since(c.episode.looks.last().unwrap().end) >= self.pause {
                c.episode.closed_at = Some(end);
                over.push(c);
            } else {
                open.push(c);
            }
        }
        self.open = open;
        self.over.extend(over);
    }

    /// Groups that hold at a step, put together.
    fn together(&self, holding: Vec<Holding<'e>>) -> Vec<Vec<Holding<'e>>> {
        let value = |h: &Holding<'_>| h.keys[self.at].clone();
        let known = |a: &Holding<'_>, b: &Holding<'_>| {
            self.open.iter().any(|c| c.members.contains(&value(a)) && c.members.contains(&value(b)))
        };
        let events = |h: &Holding<'_>| -> BTreeSet<(Timestamp, String)> {
            h.look.contributing.iter().map(|e| (e.ts(), e.id().to_string())).collect()
        };
        let templates = linked(holding.into_iter().map(|h| vec![h]).collect(), |a, b| {
            a.iter().any(|a| b.iter().any(|b| share(&events(a), &events(b), 1)))
        });
        let accounts = |template: &Vec<Holding<'_>>| -> BTreeSet<String> {
            let all = template.iter().flat_map(|h| &h.look.contributing);
            all.filter_map(|e| if let Value::Text(a) = e.get(FieldId::ACCOUNT) { Some(a.to_string()) } else { None })
                .collect()
        };
        // By the accounts of the templates as they are, not of what they are put together to.
        let own: Vec<BTreeSet<String>> = templates.iter().map(accounts).collect();
        let all_known = |a: &Vec<Holding<'_>>, b: &Vec<Holding<'_>>| a.iter().any(|a| b.iter().any(|b| known(a, b)));
        let numbered = templates.into_iter().enumerate().map(|(i, t)| vec![(i, t)]).collect();
        let campaigns = linked(numbered, |a, b| {
            a.iter().any(|(i, a)| b.iter().any(|(j, b)| share(&own[*i], &own[*j], 2) || all_known(a, b)))
        });
        campaigns.into_iter().map(|all| all.into_iter().flat_map(|(_, template)| template).collect()).collect()
    }
}

impl Campaign<'_> {
    fn opened(&self) -> Timestamp {
        self.episode.looks[0].end
    }
}

/// Whether two sets have at least `least` members in common, and their square is at least a quarter of the product of the
/// sizes.
fn share<T: Ord>(a: &BTreeSet<T>, b: &BTreeSet<T>, least: usize) -> bool {
    let both = a.intersection(b).count();
    both >= least && 4 * both * both >= a.len() * b.len()
}

/// Puts together what is linked, until nothing more is.
fn linked<T>(mut classes: Vec<Vec<T>>, link: impl Fn(&Vec<T>, &Vec<T>) -> bool) -> Vec<Vec<T>> {
    while let Some((i, j)) = (0..classes.len())
        .flat_map(|i| (i + 1..classes.len()).map(move |j| (i, j)))
        .find(|(i, j)| link(&classes[*i], &classes[*j]))
    {
        let more = classes.remove(j);
        classes[i].extend(more);
    }
    classes
}
