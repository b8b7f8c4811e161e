//! What a finding proposes. Budget, rollout and delay silence or postpone actions, never records. Findings are settled when
//! they are handed out: by then all that opened no later are there, so that the order in which they spend a budget is that
//! of (opened_at, id), whenever they are asked for.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use hashbrown::HashMap;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::memory::Memories;
use crate::hir::Rule;
use crate::plan::RuleSet;
use crate::time::{DAY_NS, Duration, SECOND_NS, Timestamp};
use crate::value::MICROS;
use crate::violation::{Status, Violation, Withheld};

/// Fewest bytes of a secret.
pub const SECRET_BYTES_MIN: usize = 16;

/// What random delays are drawn from. Whoever knows it can tell the delays beforehand, so it is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<[u8]>);

impl Secret {
    /// A secret of at least [`SECRET_BYTES_MIN`] bytes; `None` for less.
    pub fn new(bytes: &[u8]) -> Option<Secret> {
        (bytes.len() >= SECRET_BYTES_MIN).then(|| Secret(bytes.into()))
    }

    /// The delay of a violation's action, in whole seconds: the first eight bytes of HMAC-SHA256 over the violation's id,
    /// as a number with the most significant byte first, modulo `most`.
    pub fn delay(&self, id: &str, most: Duration) -> Duration {
        let seconds = (most.0 / SECOND_NS).unsigned_abs().max(1);
        Duration::from_secs(i64::try_from(leading(&self.tag(id)) % seconds).unwrap_or(0))
    }

    /// What stands for the secret where runs are compared, lower-case hex.
    pub fn fingerprint(&self) -> String {
        let tag = self.tag("fineprint: which secret");
        tag.iter().take(16).map(|b| format!("{b:02x}")).collect()
    }

    fn tag(&self, message: &str) -> [u8; 32] {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return [0; 32] };
        mac.update(message.as_bytes());
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

fn leading(hash: &[u8; 32]) -> u64 {
    let mut first = [0; 8];
    first.iter_mut().zip(hash).for_each(|(to, from)| *to = *from);
    u64::from_be_bytes(first)
}

/// Whether a finding lies within the share of groups on which its rule acts. The share is drawn by a hash of the rule's name
/// and the group, so a group that is in stays in when the share grows; a finding without a group goes by its id.
fn is_rolled_out(rule: &Rule, v: &Violation) -> bool {
    acts_on(rule, v.group.iter().map(|(_, value)| value.as_str()), &v.id)
}

/// The same by the values of the group, and by the finding's id where there are none.
pub(crate) fn acts_on<'a>(rule: &Rule, group: impl IntoIterator<Item = &'a str>, id: &str) -> bool {
    let Some(share) = rule.rollout else { return true };
    let mut hash = Sha256::new();
    let mut part = |text: &str| {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text.as_bytes());
    };
    part("fineprint rollout");
    part(&rule.name);
    let mut group = group.into_iter().peekable();
    if group.peek().is_none() {
        part(id);
    }
    group.for_each(part);
    let drawn = leading(&hash.finalize().into()) % MICROS.unsigned_abs();
    i64::try_from(drawn).is_ok_and(|drawn| drawn < share)
}

/// The budget of one rule.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Budget {
    /// The latest day (since 1970, UTC) on which a finding opened, and how many of its findings act.
    day: i64,
    used: u64,
    /// Whether findings that are still open act: they are told again.
    open: BTreeMap<String, bool>,
}

impl Budget {
    fn allows(&mut self, per_day: u64, v: &Violation) -> bool {
        let known = self.open.get(&v.id).copied();
        let acts = known.unwrap_or_else(|| {
            let day = v.opened_at.0.div_euclid(DAY_NS);
            if day > self.day || self.used == 0 {
                (self.day, self.used) = (day, 0);
            }
            // A day before the latest is settled.
            let acts = day == self.day && self.used < per_day;
            self.used += u64::from(acts);
            acts
        });
        if v.status == Status::Open {
            self.open.insert(v.id.clone(), acts);
        } else {
            self.open.remove(&v.id);
        }
        acts
    }
}

/// The budgets of all rules that have one.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Outcomes {
    budgets: BTreeMap<u32, Budget>,
    #[serde(skip)]
    by_name: Names,
}

/// The number of each rule by its name.
pub(crate) type Names = Arc<HashMap<String, u32, foldhash::fast::FixedState>>;

impl Outcomes {
    pub(crate) fn new(rules: &RuleSet) -> Outcomes {
        Outcomes::default().named(rules)
    }

    /// Without any spent, for rules whose names are known.
    pub(crate) fn sharing(by_name: &Names) -> Outcomes {
        Outcomes { budgets: BTreeMap::new(), by_name: Arc::clone(by_name) }
    }

    pub(crate) fn names(&self) -> &Names {
        &self.by_name
    }

    /// Call after reading a snapshot.
    pub(crate) fn named(mut self, rules: &RuleSet) -> Outcomes {
        let names = rules.program().rules.iter().enumerate().map(|(n, rule)| (rule.name.clone(), n as u32));
        self.by_name = Arc::new(names.collect());
        self
    }

    /// With the budgets that go on under other rules: by the name of their rule.
    pub(crate) fn carried(mut self, old: &RuleSet, new: &RuleSet) -> Outcomes {
        let mut next = Outcomes::new(new);
        for (number, rule) in (0u32..).zip(&old.program().rules) {
            let goes_on = next.by_name.get(&rule.name).copied();
            if let (Some(to), Some(budget)) = (goes_on, self.budgets.remove(&number)) {
                next.budgets.insert(to, budget);
            }
        }
        next
    }

    /// The rule of a finding.
    pub(crate) fn rule<'r>(&self, rules: &'r RuleSet, v: &Violation) -> Option<&'r Rule> {
        rules.program().rules.get(*self.by_name.get(&v.rule)? as usize)
    }

    /// The number of a finding's rule, if it has a budget.
    pub(crate) fn budget_of(&self, rules: &RuleSet, v: &Violation) -> Option<u32> {
        self.rule(rules, v).filter(|rule| rule.budget.is_some())?;
        self.by_name.get(&v.rule).copied()
    }

    /// With the budget of one rule as it was left.
    pub(crate) fn with_budget(mut self, number: u32, budget: Budget) -> Outcomes {
        self.budgets.insert(number, budget);
        self
    }

    /// The budget of one rule as it stands.
    pub(crate) fn budget(&self, number: u32) -> Budget {
        self.budgets.get(&number).cloned().unwrap_or_default()
    }

    /// Settles findings: the actions they propose, and whether memory had been cut before.
    pub(crate) fn settle(
        &mut self,
        rules: &RuleSet,
        memories: &Memories,
        secret: Option<&Secret>,
        found: &mut [Violation],
    ) {
        self.note_lost(rules, memories, found);
        self.decide_all(rules, secret, true, found);
    }

    /// Notes in findings whether memory had been cut before.
    pub(crate) fn note_lost(&self, rules: &RuleSet, memories: &Memories, found: &mut [Violation]) {
        for v in found {
            let plan = self.by_name.get(&v.rule).and_then(|number| rules.rules.get(*number as usize));
            let memory = plan.and_then(|plan| plan.memory.as_ref());
            let Some(since) = memory.and_then(|m| memories.lost_since(&m.questions)) else { continue };
            // A window ends before the events of its end; an event shares its moment with others.
            let before = if v.window.is_some() { since < v.opened_at.0 } else { since <= v.opened_at.0 };
            if before {
                let known = v.evidence.memory_cut_since.map_or(since, |known| known.0.min(since));
                v.evidence.memory_cut_since = Some(Timestamp(known));
            }
        }
    }

    /// Settles the actions that findings propose; where budgets are kept elsewhere, those of rules with one stay open.
    pub(crate) fn decide_all(
        &mut self,
        rules: &RuleSet,
        secret: Option<&Secret>,
        has_budgets: bool,
        found: &mut [Violation],
    ) {
        let mut order: Vec<&mut Violation> = found.iter_mut().collect();
        order.sort_by(|a, b| (a.opened_at, &a.id).cmp(&(b.opened_at, &b.id)));
        for v in order {
            let Some(number) = self.by_name.get(&v.rule).copied() else { continue };
            let Some(rule) = rules.program().rules.get(number as usize) else { continue };
            if !rule.actions.is_empty() && (has_budgets || rule.budget.is_none()) {
                self.decide(number, rule, secret, v);
            }
        }
    }

    fn decide(&mut self, number: u32, rule: &Rule, secret: Option<&Secret>, v: &mut Violation) {
        let late = v.actions.iter().any(|p| p.withheld == Some(Withheld::Late));
        let withheld = match rule.budget {
            _ if v.status == Status::Exempted => Some(Withheld::Exempted),
            _ if !is_rolled_out(rule, v) => Some(Withheld::Rollout),
            _ if late => Some(Withheld::Late),
            Some(per_day) if !self.budgets.entry(number).or_default().allows(per_day, v) => Some(Withheld::Budget),
            _ => None,
        };
        for (proposal, action) in v.actions.iter_mut().zip(&rule.actions) {
            proposal.withheld = withheld;
            if let Some(most) = action.delayed {
                proposal.delay = secret.map(|s| s.delay(&v.id, most));
                if secret.is_none() {
                    proposal.withheld = withheld.or(Some(Withheld::NoSecret));
                }
            }
        }
    }
}
