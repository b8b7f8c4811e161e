//! From what the engine holds to the record of a violation.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::ask::Asking;
use super::episode::Episode;
use super::intern::Interner;
use super::merkle::Tree;
use super::merkle::leaf;
use super::route::{EventEnv, part_text};
use super::window::{Ended, Merge, because, recorded};
use crate::event::FieldId;
use crate::hir::{Action, ClauseRef, Program, Rule, Verb};
use crate::plan::rule::{Key, RulePlan, ShapePlan, ValuePlan, WindowPlan};
use crate::time::Timestamp;
use crate::value::{Type, Value};
use crate::violation::{
    Bound, Considered, Enforced, Estimate, EventRef, Evidence, Observed, Proposal, Role, Scalar, Status, Violation,
};

/// 32 hex digits over length-prefixed parts.
pub(crate) fn id(parts: &[&str]) -> String {
    let mut h = Sha256::new();
    for part in parts {
        h.update((part.len() as u32).to_be_bytes());
        h.update(part.as_bytes());
    }
    hex::encode(h.finalize()).chars().take(32).collect()
}

/// The clauses of a rule in the versions in force at a time: the latest that had begun, else the first there is.
pub(crate) fn clauses(program: &Program, enforces: &[ClauseRef], at: Timestamp) -> Vec<Enforced> {
    let mut out = Vec::new();
    for reference in enforces {
        let versions = reference.versions.iter().filter_map(|(p, c)| {
            let policy = program.policies.get(*p as usize)?;
            Some((policy, policy.clauses.get(*c as usize)?))
        });
        let mut chosen = None;
        for (policy, clause) in versions {
            let begun = clause.from <= at;
            if chosen.is_none() || begun {
                chosen = Some((policy, clause, begun && clause.until.is_none_or(|until| at < until)));
            }
        }
        if let Some((policy, clause, in_force)) = chosen {
            out.push(Enforced {
                policy: policy.name.clone(),
                version: policy.version.clone(),
                clause: clause.name.clone(),
                section: clause.section.clone(),
                says: clause.says.clone(),
                from: clause.from,
                in_force,
            });
        }
    }
    out
}

/// An action as the author would write it.
pub fn action_text(a: &Action) -> String {
    let mut out = String::new();
    if a.after_review {
        out.push_str("after review: ");
    }
    if let Some(most) = a.delayed {
        out.push_str(&format!("delayed by up to {most}: "));
    }
    let scope = if a.scope.is_empty() { String::new() } else { format!(" {}", a.scope) };
    match &a.verb {
        Verb::Alert(channel) => out.push_str(&format!("alert {channel:?}")),
        Verb::Flag => out.push_str(&format!("flag{scope}")),
        Verb::Throttle(n, per) => out.push_str(&format!("throttle{scope} to {n} per {per}")),
        Verb::Challenge => out.push_str(&format!("challenge{scope}")),
        Verb::Block => out.push_str(&format!("block{scope}")),
    }
    if let Some(d) = a.duration {
        out.push_str(&format!(" for {d}"));
    }
    out
}

fn proposal(a: &Action) -> Proposal {
    Proposal { action: action_text(a), withheld: None, delay: None }
}

pub(super) fn considered(rule: &Rule, took_out: &[u64]) -> Vec<Considered> {
    rule.exceptions
        .iter()
        .enumerate()
        .map(|(i, e)| Considered {
            because: e.because.clone(),
            owner: e.owner.clone(),
            evidence: e.evidence.clone(),
            took_out: took_out.get(i).copied().unwrap_or(0),
        })
        .collect()
}

/// What a rule on single events takes from one that fulfils it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Single {
    values: Vec<Option<Scalar>>,
    because: String,
    /// Which exceptions take the event out, as bits.
    exceptions: u32,
    /// API key and organisation of the event.
    key: Option<Box<str>>,
    org: Option<Box<str>>,
}

impl Single {
    pub(crate) fn new(plan: &RulePlan, values: &[ValuePlan], env: &EventEnv<'_, '_>, exceptions: u32) -> Single {
        let values = values.iter().map(|p| recorded(&p.scalar.eval(env))).collect();
        let text = |field| match env.event.get(field) {
            Value::Text(text) => Some(Box::from(text)),
            _ => None,
        };
        let (key, org) = (text(FieldId::KEY), text(FieldId::ORG));
        Single { values, because: because(plan, env), exceptions, key, org }
    }
}

/// An episode and what is to be told of it.
#[derive(Clone, Copy)]
pub(crate) struct Told<'a> {
    pub(crate) episode: &'a Episode,
    /// What it has gathered; the same for each rule of the definition.
    pub(crate) evidence: &'a Evidence,
    pub(crate) exempted: bool,
    /// The step at which it ended.
    pub(crate) closed: Option<i64>,
}

impl<'a> Told<'a> {
    /// One that is under way.
    pub(crate) fn open(episode: &'a Episode, evidence: &'a Evidence, exempted: bool) -> Self {
        Told { episode, evidence, exempted, closed: None }
    }

    /// One that has ended.
    pub(crate) fn ended(e: &'a Ended, evidence: &'a Evidence) -> Self {
        Told { episode: &e.episode, evidence, exempted: e.exempted, closed: Some(e.closed) }
    }
}

/// A rule with its plan and the program it belongs to.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) program: &'a Program,
    pub(crate) rule: &'a Rule,
    pub(crate) plan: &'a RulePlan,
}

impl Subject<'_> {
    pub(super) fn record(&self, id: String, opened_at: Timestamp) -> Violation {
        let rule = self.rule;
        Violation {
            id,
            rule: rule.name.clone(),
            rule_hash: self.plan.hash.clone(),
            clauses: clauses(self.program, &rule.enforces, opened_at),
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
            actions: rule.actions.iter().map(proposal).collect(),
            because: String::new(),
            mistaken_for: rule.mistaken_for.clone(),
        }
    }

    /// The violation of a rule on single events.
    pub(crate) fn single(&self, single: &Single, event: Asking<'_>) -> Violation {
        let at = Timestamp(event.ts);
        let mut v = self.record(id(&[&self.rule.name, &self.plan.hash, event.id]), at);
        v.closed_at = Some(at);
        v.status = if single.exceptions == 0 { Status::Closed } else { Status::Exempted };
        if let Some(account) = event.account {
            v.group = vec![("account".to_string(), account.to_string())];
            v.accounts = vec![account.to_string()];
        }
        for (scope, name, value) in [("key", "api_key_id", &single.key), ("org", "org", &single.org)] {
            let asked = value.as_ref().filter(|_| self.rule.acts_on(scope));
            v.group.extend(asked.map(|value| (name.to_string(), value.to_string())));
        }
        if let ShapePlan::Single { values } = &self.plan.shape {
            let each = values.iter().zip(&single.values);
            v.values = each.map(|(p, now)| observed(p, now.clone(), now.clone(), now.clone())).collect();
        }
        let mut tree = Tree::default();
        tree.push(leaf(event.id, event.content));
        v.evidence = Evidence {
            count: 1,
            root: tree.root(),
            events: std::iter::once(EventRef { id: event.id.to_string(), ts: at, role: Role::All }).collect(),
            complete: true,
            forgotten: 0,
            undecided: 0,
            memory_cut_since: None,
            state_cut_at: None,
        };
        let took_out: Vec<u64> =
            (0..self.rule.exceptions.len()).map(|i| u64::from(single.exceptions >> i & 1)).collect();
        v.exceptions = considered(self.rule, &took_out);
        v.because = single.because.clone();
        v
    }

    /// The id of the violation of a group that opened at the end of a step.
    fn episode_id(&self, w: &WindowPlan, group: &[(String, String)], first: i64) -> String {
        let first = first.saturating_mul(w.step).to_string();
        let mut parts = vec![self.rule.name.as_str(), self.plan.hash.as_str()];
        parts.extend(group.iter().map(|(_, value)| value.as_str()));
        parts.push(&first);
        id(&parts)
    }

    /// The violation of several groups, merged.
    pub(crate) fn merged(
        &self,
        w: &WindowPlan,
        (key, merge): (&Key, &Merge),
        told: Told<'_>,
        interner: &Interner,
    ) -> Violation {
        let mut v = self.episode(w, key, told, interner);
        let groups = &merge.groups;
        let name = self.groups_name(w);
        let (crossing, peak, last) = (groups.crossing.clone(), groups.peak.clone(), groups.last.clone());
        let ty = Type::Integer;
        v.values.push(Observed { name, ty, crossing, peak, last, threshold: None, estimates: Vec::new() });
        if let Some((into, first)) = &merge.into {
            v.status = Status::Merged;
            v.merged_into = Some(self.episode_id(w, &group(w, into, interner), *first));
        }
        v
    }

    /// What the number of merged groups is called: `fingerprints`, where no value of the rule has that name.
    fn groups_name(&self, w: &WindowPlan) -> String {
        let mut name = "fingerprints".to_string();
        while w.values.iter().any(|v| v.name == name) {
            name.insert_str(0, "merged_");
        }
        name
    }

    /// The violation of an episode.
    pub(crate) fn episode(&self, w: &WindowPlan, key: &Key, told: Told<'_>, interner: &Interner) -> Violation {
        let Told { episode: e, evidence, exempted, closed } = told;
        let end = |step: i64| Timestamp(step.saturating_mul(w.step));
        let group = group(w, key, interner);
        let mut v = self.record(self.episode_id(w, &group, e.first), end(e.first));
        v.updated_at = end(e.last);
        v.closed_at = closed.map(end);
        v.status = match (exempted, closed) {
            (true, _) => Status::Exempted,
            (false, Some(_)) => Status::Closed,
            (false, None) => Status::Open,
        };
        v.window = Some((e.began, v.opened_at));
        v.group = group;
        let accounts = e.gathered.accounts.iter().map(|a| String::from_utf8_lossy(interner.get(*a)).into_owned());
        v.accounts = accounts.collect();
        v.accounts.sort();
        v.values = w
            .values
            .iter()
            .zip(&e.tracks)
            .map(|(p, t)| Observed {
                estimates: t.estimates.iter().filter_map(|(i, bound)| estimate(w, *i, *bound)).collect(),
                ..observed(p, t.crossing.clone(), t.peak.clone(), t.last.clone())
            })
            .collect();
        v.evidence = evidence.clone();
        v.evidence.state_cut_at = e.cut.map(Timestamp);
        v.exceptions = considered(self.rule, &e.took_out);
        v.because = e.because.clone();
        v
    }
}

/// The parts of a key with their names.
fn group(w: &WindowPlan, key: &Key, interner: &Interner) -> Vec<(String, String)> {
    w.per.iter().zip(key).map(|(part, word)| (part.name.clone(), part_text(*word, part, interner))).collect()
}

pub(super) fn estimate(w: &WindowPlan, aggregate: u16, bound: Bound) -> Option<Estimate> {
    w.aggregates.get(usize::from(aggregate)).map(|a| Estimate { aggregate: a.word.to_string(), bound })
}

pub(super) fn observed(
    p: &ValuePlan,
    crossing: Option<Scalar>,
    peak: Option<Scalar>,
    last: Option<Scalar>,
) -> Observed {
    Observed {
        name: p.name.clone(),
        ty: p.ty.clone(),
        crossing,
        peak,
        last,
        threshold: p.threshold.as_ref().map(|(op, bound)| (op.symbol(), bound.clone())),
        estimates: Vec::new(),
    }
}
