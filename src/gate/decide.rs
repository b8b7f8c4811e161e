//! One event: who looks at it, what that counts, and what follows.

use std::sync::PoisonError;

use smallvec::SmallVec;

use super::bear::{Bearing, reason, together};
use super::{Active, Gate, Worker};
use crate::decision::{Decision, Verdict};
use crate::enforce::{Caller, Scope, Strike, is_at_arrival};
use crate::eval::finding::{clauses, id};
use crate::eval::outcome::acts_on;
use crate::event::{FieldId, Kind, UsageEvent};
use crate::hir::{Mode, Rule};
use crate::inline::limits::Ask;
use crate::inline::{Acts, Asker, Found, Part, Token, Touched};
use crate::plan::rule::RulePlan;
use crate::time::Duration;
use crate::value::Value;

/// An answer, and what is to begin with it.
#[derive(Debug, Default)]
pub struct Decided {
    /// The answer.
    pub decision: Decision,
    /// Rules that answer and whose actions outlast the call: whoever keeps the log writes what follows
    /// ([`crate::enforce::Table::strike`]).
    pub strikes: Vec<Strike>,
}

/// What is done for one call until its answer is known.
#[derive(Default)]
pub(super) struct Course {
    pub(super) bearing: Vec<Bearing>,
    /// What passed throttles.
    tokens: Vec<Token>,
    /// Groups in which the call counts ahead.
    ahead: SmallVec<[u128; 2]>,
    /// Rules that answer and whose actions outlast the call.
    pub(super) strikes: Vec<Strike>,
    /// What limits hold for it.
    pub(super) reserved: Vec<Ask>,
}

/// What is known of an event before it is routed.
#[derive(Clone, Copy)]
pub(super) struct Heard {
    id: u64,
    call: Option<u64>,
    /// Whether it came before, and passed then.
    pub(super) before: Option<bool>,
}

fn text<'e>(event: &'e UsageEvent<'_>, field: FieldId) -> Option<&'e str> {
    match event.get(field) {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

/// Who sends a call.
pub(super) fn caller<'e>(event: &'e UsageEvent<'_>) -> Caller<'e> {
    Caller { account: text(event, FieldId::ACCOUNT), key: text(event, FieldId::KEY), org: text(event, FieldId::ORG) }
}

/// Where the memory of a group lies.
fn place(group: u128) -> u64 {
    (group >> 64) as u64
}

impl Gate {
    /// Notes that an event was heard of.
    fn hear(&self, asker: &Asker, event: &UsageEvent<'_>, decides: bool) -> Heard {
        let call = text(event, FieldId::CALL).map(|call| asker.hash(call));
        let (id, ts) = (asker.hash(event.id()), event.ts().0);
        let mut shard = self.shard(id);
        shard.decided += u64::from(decides);
        shard.observed += u64::from(!decides);
        let before = shard.heard.get(id, ts).copied();
        match before {
            Some(_) => shard.duplicate += 1,
            None => shard.heard.put(id, ts, false),
        }
        Heard { id, call, before }
    }

    fn refuse_future(&self, asker: &Asker, event: &UsageEvent<'_>, decides: bool) {
        let mut shard = self.shard(asker.hash(event.id()));
        shard.decided += u64::from(decides);
        shard.observed += u64::from(!decides);
        shard.future += 1;
    }

    /// Takes back what the call of a completion counted ahead, where the completion itself does not count.
    fn settle(&self, asker: &Asker, event: &UsageEvent<'_>, heard: Heard) {
        let (Kind::Completion, Some(call), None) = (event.kind(), heard.call, heard.before) else { return };
        let Some(groups) = self.shard(call).calls.take(call) else { return };
        let reaches = |group: u128| asker.found.iter().any(|f| !f.excepted && f.window.is_some_and(|w| w.0 == group));
        for group in groups.into_iter().filter(|group| !reaches(*group)) {
            self.shard(place(group)).panes.take_ahead(group, call);
        }
    }

    pub(super) fn take_in(&self, active: &Active, worker: &mut Worker, event: &UsageEvent<'_>) {
        let asker = &mut worker.asker;
        if self.is_future(event) {
            return self.refuse_future(asker, event, false);
        }
        let heard = self.hear(asker, event, false);
        if heard.before.is_some() {
            return;
        }
        asker.route(&active.rules, &active.plans, event);
        self.settle(asker, event, heard);
        for found in asker.found.iter().filter(|found| !found.ahead && !found.excepted) {
            let windowed = active.window(found);
            if let (Some((answer, w)), Some((group, ..))) = (windowed, found.window) {
                let call = heard.call.filter(|_| event.kind() == Kind::Completion);
                let taken = asker.taken(found, w);
                self.shard(place(group)).panes.count(answer, group, event.ts().0, taken, call);
            }
        }
        self.settle_limits(active, worker, event);
    }

    /// Whether a person has taken a caller out of what a rule does.
    pub(super) fn is_spared(&self, rule: &str, caller: Caller<'_>) -> bool {
        self.table.read().unwrap_or_else(PoisonError::into_inner).spares(rule, caller)
    }

    pub(super) fn answer(&self, active: &Active, worker: &mut Worker, event: &UsageEvent<'_>) -> Decided {
        let asker = &mut worker.asker;
        if self.is_future(event) {
            self.refuse_future(asker, event, true);
            return Decided::default();
        }
        let heard = self.hear(asker, event, true);
        asker.route(&active.rules, &active.plans, event);
        self.settle(asker, event, heard);
        let mut course = Course::default();
        // First what holds already: a rule begins nothing anew that it has begun.
        self.stand(asker, event, heard, &mut course);
        for found in &asker.found {
            if !found.excepted && self.fires(active, asker, event, heard, found, &mut course) {
                self.bear(active, asker, event, heard, found, &mut course);
            }
        }
        self.reserve(active, worker, event, heard, &mut course);
        let Course { bearing, tokens, ahead, strikes, reserved } = course;
        let decision = together(bearing);
        let passes = decision.verdict.passes();
        if passes {
            self.let_pass(event, heard, ahead);
        } else {
            self.release(active, &reserved);
            self.turn_away(heard, tokens, ahead);
        }
        // What happens whatever the answer is settled; of a request, only what passes.
        if heard.before.is_none() && (passes || event.kind() != Kind::Request) {
            self.settle_limits(active, worker, event);
        }
        Decided { decision, strikes }
    }

    /// Answers an event again that is not known, for what that leaves behind.
    pub(super) fn answer_again(&self, active: &Active, worker: &mut Worker, event: &UsageEvent<'_>) {
        let id = worker.asker.hash(event.id());
        let is_known = self.shard(id).heard.get(id, event.ts().0).is_some();
        if !is_known {
            // What begins with an answer was begun then.
            let _ = self.answer(active, worker, event);
        }
    }

    /// Whether a rule's condition holds for a call, which counts where it is to.
    fn fires(
        &self,
        active: &Active,
        asker: &Asker,
        event: &UsageEvent<'_>,
        heard: Heard,
        found: &Found,
        course: &mut Course,
    ) -> bool {
        let Some((group, ..)) = found.window else { return true };
        let Some((answer, w)) = active.window(found) else { return false };
        let part = match (found.ahead, heard.call, heard.before) {
            (true, Some(call), _) => Part::Ahead(call),
            (true, None, _) => Part::Ask,
            (false, _, Some(_)) => Part::Known,
            (false, call, None) => Part::Count(call.filter(|_| event.kind() == Kind::Completion)),
        };
        if let Part::Ahead(_) = part {
            course.ahead.push(group);
        }
        let ts = event.ts().0;
        let touched = self.shard(place(group)).panes.touch(answer, group, ts, asker.taken(found, w), part);
        match touched {
            Touched::Window(values) => asker.holds(found, w, answer, &values, ts),
            Touched::Late => false,
        }
    }

    /// What the rules of a definition whose condition holds do about a call.
    fn bear(
        &self,
        active: &Active,
        asker: &Asker,
        event: &UsageEvent<'_>,
        heard: Heard,
        found: &Found,
        course: &mut Course,
    ) {
        let window = active.window(found).map(|(_, w)| w);
        for (rule, plan, acts) in active.members(found.leader) {
            let group = || window.map_or_else(Vec::new, |w| asker.group(found, w));
            // The finding of a completion that is yet to come has another id, and a window's next is known when its step closes.
            let violation = match (window, found.ahead) {
                (None, false) => Some(id(&[&rule.name, &plan.hash, event.id()])),
                _ => None,
            };
            let within = is_within(rule, window.map(|_| group()), event, violation.as_deref());
            if !within || self.is_spared(&rule.name, caller(event)) {
                continue;
            }
            let mut verdict = acts.verdict;
            let mut retry_after = None;
            for (number, (scope, most, per)) in acts.throttles.iter().enumerate() {
                let whom = match *scope {
                    "group" if window.is_some() => Some(group().join("\u{1f}")),
                    scope => target(event, scope).map(str::to_string),
                };
                // Nobody whom it could count by.
                let Some(whom) = whom else { continue };
                let key = asker.hash(&format!("{}\u{1f}{number}\u{1f}{scope}\u{1f}{whom}", rule.name));
                if let Err(later) = self.throttle(key, (*most, *per), event, heard, course) {
                    verdict = verdict.max(Verdict::Throttle);
                    retry_after = retry_after.max(Some(later));
                }
            }
            if verdict == Verdict::Allow && acts.throttles.is_empty() {
                continue;
            }
            let has_begun = || course.bearing.iter().any(|b| b.action.is_some() && b.rule == rule.name);
            let begins = acts.mode != Mode::Shadow && heard.before.is_none();
            if begins && rule.actions.iter().any(is_at_arrival) && !has_begun() {
                let Caller { account, key, org } = caller(event);
                let clauses = clauses(active.rules.program(), &rule.enforces, event.ts());
                let of = (event.id(), event.ts(), violation.as_deref());
                course.strikes.push(Strike::new(rule, &plan.hash, clauses, of, [account, key, org]));
            }
            let effective = acts.effective(verdict);
            // What its group is under already; an action that begins now rests on no finding that has acted before.
            let violation = violation.or_else(|| {
                let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
                let known = Some(known).filter(|known| window.is_some() && !known.is_empty())?;
                known.get(&rule.name, &plan.hash, &group()).map(str::to_string)
            });
            course.bearing.push(Bearing {
                verdict: effective,
                would: if acts.mode == Mode::Shadow { verdict } else { effective },
                mode: acts.mode,
                retry_after,
                reason: reason(active.rules.program(), rule, event.ts()),
                rule: rule.name.clone(),
                violation,
                action: None,
            });
        }
    }

    /// What actions in force do about a call.
    fn stand(&self, asker: &Asker, event: &UsageEvent<'_>, heard: Heard, course: &mut Course) {
        let caller = caller(event);
        let standing = self.table.read().unwrap_or_else(PoisonError::into_inner).standing(caller, event.ts());
        for s in standing {
            let mut retry_after = s.until.map(|until| Duration(until.0.saturating_sub(event.ts().0)));
            let (mut verdict, mut would) = (s.verdict, if s.mode == Mode::Shadow { s.would } else { s.verdict });
            if let Some(rate) = s.rate {
                let whom = match s.scope {
                    Scope::Account => caller.account,
                    Scope::Key => caller.key,
                    Scope::Org => caller.org,
                    Scope::Group => None,
                };
                let key = asker.hash(&format!("\u{1f}{}\u{1f}{}", s.action, whom.unwrap_or_default()));
                match self.throttle(key, rate, event, heard, course) {
                    Ok(()) => (verdict, would) = (Verdict::Allow, Verdict::Allow),
                    Err(later) => retry_after = Some(later),
                }
            }
            course.bearing.push(Bearing {
                verdict,
                would,
                mode: s.mode,
                retry_after,
                reason: s.reason,
                rule: s.rule,
                violation: Some(s.violation),
                action: Some(s.action),
            });
        }
    }

    /// Lets a call pass a throttle, or says when to come again. A call that passed before passes again.
    fn throttle(
        &self,
        key: u64,
        rate: (u64, Duration),
        event: &UsageEvent<'_>,
        heard: Heard,
        course: &mut Course,
    ) -> Result<(), Duration> {
        if heard.before == Some(true) {
            return Ok(());
        }
        let token = self.shard(key).throttles.take(key, rate, event.ts().0)?;
        course.tokens.push(token);
        Ok(())
    }

    fn let_pass(&self, event: &UsageEvent<'_>, heard: Heard, ahead: SmallVec<[u128; 2]>) {
        if let (Some(call), false) = (heard.call, ahead.is_empty()) {
            let mut shard = self.shard(call);
            match shard.calls.get(call, event.ts().0) {
                // A gateway that tries another model asks again for the same call.
                Some(known) => known.extend(ahead),
                None => shard.calls.put(call, event.ts().0, ahead),
            }
        }
        if let Some(passed) = self.shard(heard.id).heard.get(heard.id, event.ts().0) {
            *passed = true;
        }
    }

    /// A call that is refused takes nothing from others, and becomes no completion.
    fn turn_away(&self, heard: Heard, tokens: Vec<Token>, ahead: SmallVec<[u128; 2]>) {
        for token in tokens {
            self.shard(token.key).throttles.give_back(token);
        }
        if let Some(call) = heard.call {
            ahead.into_iter().for_each(|group| self.shard(place(group)).panes.take_ahead(group, call));
        }
    }
}

/// Whether a rule acts on the group of a call, by its rollout. One group for all goes by the id of its finding, which is not
/// known yet: it is not acted on.
pub(super) fn is_within(
    rule: &Rule,
    group: Option<Vec<String>>,
    event: &UsageEvent<'_>,
    violation: Option<&str>,
) -> bool {
    if rule.rollout.is_none() {
        return true;
    }
    // As a finding on a single event names its group.
    let asked = |scope: &str, field| text(event, field).filter(|_| rule.acts_on(scope));
    let own = || {
        let account = text(event, FieldId::ACCOUNT);
        [account, asked("key", FieldId::KEY), asked("org", FieldId::ORG)].into_iter().flatten().map(str::to_string)
    };
    let group = group.unwrap_or_else(|| own().collect());
    match (group.is_empty(), violation) {
        (true, None) => false,
        (_, violation) => acts_on(rule, group.iter().map(String::as_str), violation.unwrap_or_default()),
    }
}

/// Whom a throttle counts by: the account where it does not say, and where a single event is a group by itself.
fn target<'e>(event: &'e UsageEvent<'_>, scope: &str) -> Option<&'e str> {
    match scope {
        "key" => text(event, FieldId::KEY),
        "org" => text(event, FieldId::ORG),
        _ => text(event, FieldId::ACCOUNT),
    }
}

impl Active {
    fn window(&self, found: &Found) -> Option<(&crate::inline::WindowAnswer, &crate::plan::rule::WindowPlan)> {
        found.window?;
        let plan = self.rules.rules.get(found.leader as usize)?;
        self.plans.window(found.leader).zip(plan.window())
    }

    /// The rules of a definition that answer.
    fn members(&self, leader: u32) -> impl Iterator<Item = (&Rule, &RulePlan, &Acts)> {
        let numbers = self.rules.members.get(leader as usize).into_iter().flatten();
        numbers.filter_map(|n| {
            let rule = self.rules.program().rules.get(*n as usize)?;
            let acts = self.plans.acts(*n).filter(|acts| acts.answers)?;
            Some((rule, self.rules.rules.get(*n as usize)?, acts))
        })
    }
}
