//! What a changed rule means, part by part. What this has no words for is told as unclear, never left out.

use super::condition::{Place, compare, optional};
use super::{Change, Effect, link};
use crate::check::growing::is_growing;
use crate::counsel::reading::action;
use crate::counsel::say::{kinds, listed, percent, span};
use crate::counsel::speech::Speech;
use crate::event::Kind;
use crate::hir::{Aggregate, Exception, Expr, Mode, Piece, Program, Rule, Sequence, Shape, Windowed, canonical_rule};
use crate::time::{Duration, Timestamp};

struct Pair<'a> {
    old: Place<'a>,
    new: Place<'a>,
    out: Vec<Change>,
}

/// `renamed`: the name alone is no change to be told here.
pub(super) fn diff(old: &Program, a: &Rule, new: &Program, b: &Rule, renamed: bool) -> Vec<Change> {
    let place = |program, rule| Place { program, aggregates: aggregates(rule), speech: Speech::of(program, rule) };
    let mut pair = Pair { old: place(old, a), new: place(new, b), out: Vec::new() };
    pair.standing(a, b);
    pair.of_events(a, b, Pair::looked_at);
    pair.shape(a, b);
    pair.of_events(a, b, Pair::exceptions);
    pair.outcome(a, b);
    pair.told(a, b);
    let meant = canonical_rule(old, &Rule { name: b.name.clone(), ..a.clone() }) == canonical_rule(new, b);
    if pair.out.is_empty() && !(renamed && meant) {
        let what = "It changed in a way that this comparison has no words for; compare the rules as `policy render` reads them";
        pair.out.push(Change::new(Effect::Unclear, what));
    }
    pair.out
}

fn aggregates(rule: &Rule) -> &[Aggregate] {
    match &rule.shape {
        Shape::Windowed(w) => &w.aggregates,
        Shape::Single | Shape::Sequence(_) => &[],
    }
}

/// Whether more events can only make more findings: each by itself, or under a condition that only grows with them. What a
/// rule remembers are the events of its kinds, so that more of them may also make less new.
fn only_grows(rule: &Rule) -> bool {
    match &rule.shape {
        Shape::Single => true,
        Shape::Windowed(w) => is_growing(&w.when, &w.aggregates),
        Shape::Sequence(_) => false,
    }
}

impl Pair<'_> {
    /// Changes of which events count. Where more of them may also make a condition false, no direction is told.
    fn of_events(&mut self, a: &Rule, b: &Rule, tell: impl FnOnce(&mut Self, &Rule, &Rule)) {
        let from = self.out.len();
        tell(self, a, b);
        let (x, y) = (a.asks_memory(), b.asks_memory());
        // Who asks memory says nothing of late events.
        let remembers = x != y || a.kinds != b.kinds && (x || y);
        self.unclear_unless(only_grows(a) && only_grows(b) && !remembers, from);
    }

    fn unclear_unless(&mut self, sure: bool, from: usize) {
        for change in self.out.iter_mut().skip(from).filter(|_| !sure) {
            if matches!(change.effect, Effect::Wider | Effect::Narrower) {
                change.effect = Effect::Unclear;
            }
        }
    }

    fn push(&mut self, effect: Effect, what: impl Into<String>) {
        self.out.push(Change::new(effect, what));
    }

    /// A value that grew or fell, with what either means.
    fn moved<T: Ord>(&mut self, a: &T, b: &T, grown: Effect, fallen: Effect, what: String) {
        match b.cmp(a) {
            std::cmp::Ordering::Greater => self.push(grown, what),
            std::cmp::Ordering::Less => self.push(fallen, what),
            std::cmp::Ordering::Equal => {}
        }
    }

    fn standing(&mut self, a: &Rule, b: &Rule) {
        let names =
            |r: &Rule| -> Vec<String> { r.enforces.iter().map(|c| format!("{}.{}", c.policy, c.clause)).collect() };
        let (was, is) = (names(a), names(b));
        let come: Vec<String> = is.iter().filter(|c| !was.contains(c)).cloned().collect();
        let gone: Vec<String> = was.iter().filter(|c| !is.contains(c)).cloned().collect();
        match (come.is_empty(), gone.is_empty()) {
            (true, true) => {}
            (false, true) => self.push(Effect::Same, format!("It now also enforces {}", listed(come, "and"))),
            (true, false) => self.push(Effect::Same, format!("It no longer enforces {}", listed(gone, "or"))),
            (false, false) => {
                let what = format!("It now enforces {} instead of {}", listed(come, "and"), listed(gone, "and"));
                self.push(Effect::Same, what);
            }
        }
        let what = format!("Its severity is {}, before {}", b.severity.word(), a.severity.word());
        self.moved(&a.severity, &b.severity, Effect::Stricter, Effect::Milder, what);
        let what = format!("Its confidence is {}, before {}", b.confidence.word(), a.confidence.word());
        self.moved(&a.confidence, &b.confidence, Effect::Same, Effect::Same, what);
        let stands = |m: Mode| match m {
            Mode::Shadow => "in shadow",
            Mode::Flag => "set to flag",
            Mode::Enforce => "enforced",
        };
        let what = format!("It is {} instead of {}", stands(b.mode), stands(a.mode));
        self.moved(&a.mode, &b.mode, Effect::Stricter, Effect::Milder, what);
    }

    fn looked_at(&mut self, a: &Rule, b: &Rule) {
        if !matches!((&a.shape, &b.shape), (Shape::Sequence(_), _) | (_, Shape::Sequence(_))) {
            self.kinds(&a.kinds, &b.kinds, true, "It");
            let (old, new) = (&mut self.old, &mut self.new);
            optional(old, a.filter.as_ref(), new, b.filter.as_ref(), true, "Of an event that counts", &mut self.out);
        }
    }

    fn kinds(&mut self, a: &[Kind], b: &[Kind], positive: bool, who: &str) {
        let come: Vec<_> = b.iter().copied().filter(|k| !a.contains(k)).collect();
        let gone: Vec<_> = a.iter().copied().filter(|k| !b.contains(k)).collect();
        if !come.is_empty() {
            self.push(Effect::Wider.flipped(positive), format!("{who} now also looks at {}", kinds(&come)));
        }
        if !gone.is_empty() {
            self.push(Effect::Narrower.flipped(positive), format!("{who} no longer looks at {}", kinds(&gone)));
        }
    }

    fn shape(&mut self, a: &Rule, b: &Rule) {
        match (&a.shape, &b.shape) {
            (Shape::Single, Shape::Single) => {}
            (Shape::Windowed(x), Shape::Windowed(y)) => self.windowed(x, y),
            (Shape::Sequence(x), Shape::Sequence(y)) => self.sequence(x, y),
            (x, y) => {
                let what = |s: &Shape| match s {
                    Shape::Single => "single events",
                    Shape::Windowed(_) => "what comes together within a time",
                    Shape::Sequence(_) => "events in their order",
                };
                self.push(Effect::Unclear, format!("It judges {}, before {}", what(y), what(x)));
            }
        }
    }

    fn grouped(&mut self, a: &[Expr], b: &[Expr]) {
        let same = a.len() == b.len() && a.iter().zip(b).all(|(x, y)| self.old.key(x) == self.new.key(y));
        if same {
            return;
        }
        let name = |place: &mut Place<'_>, per: &[Expr]| {
            let all: Vec<String> = per.iter().map(|e| place.speech.noun(e)).collect();
            if all.is_empty() { "all together".to_string() } else { format!("each {}", all.join(" with each ")) }
        };
        let (was, is) = (name(&mut self.old, a), name(&mut self.new, b));
        self.push(Effect::Unclear, format!("It counts for {is}, before for {was}"));
    }

    fn windowed(&mut self, a: &Windowed, b: &Windowed) {
        let of = |p: &Place<'_>, w: &Windowed| w.link.and_then(|id| p.program.links.get(id.0 as usize)).cloned();
        let grows = is_growing(&a.when, &a.aggregates) && is_growing(&b.when, &b.aggregates);
        let from = self.out.len();
        match (of(&self.old, a), of(&self.new, b)) {
            (Some(x), Some(y)) => link::diff((self.old.program, &x), (self.new.program, &y), &mut self.out),
            (None, None) => self.grouped(&a.per, &b.per),
            (Some(x), None) => {
                self.push(Effect::Unclear, format!("It no longer counts for groups of accounts tied by {}", x.name));
            }
            (None, Some(y)) => {
                self.push(Effect::Unclear, format!("It now counts for groups of accounts tied by {}", y.name));
            }
        }
        let all = |w: &Windowed| w.only.clone();
        for (x, y) in all(a).iter().zip(&all(b)) {
            compare(&mut self.old, x, &mut self.new, y, true, "Of a value that is counted for", &mut self.out);
        }
        for (x, y) in [(a.only.get(b.only.len()..), None), (None, b.only.get(a.only.len()..))] {
            let (x, y) = (x.unwrap_or_default(), y.unwrap_or_default());
            for e in x {
                optional(
                    &mut self.old,
                    Some(e),
                    &mut self.new,
                    None,
                    true,
                    "Of a value that is counted for",
                    &mut self.out,
                );
            }
            for e in y {
                optional(
                    &mut self.old,
                    None,
                    &mut self.new,
                    Some(e),
                    true,
                    "Of a value that is counted for",
                    &mut self.out,
                );
            }
        }
        self.unclear_unless(grows, from);
        self.time(a, b, grows);
        compare(&mut self.old, &a.when, &mut self.new, &b.when, true, "For a violation", &mut self.out);
    }

    /// `grows`: whether the condition only turns true as more comes into the time.
    fn time(&mut self, a: &Windowed, b: &Windowed, grows: bool) {
        if a.gap.is_some() != b.gap.is_some() {
            let what = if b.gap.is_some() { "sessions, before windows" } else { "windows, before sessions" };
            return self.push(Effect::Unclear, format!("Time is cut into {what}"));
        }
        let way = |a: Duration, b: Duration| if b > a { "grows" } else { "shrinks" };
        // Spans that follow each other, and sessions, are cut elsewhere when their length changes.
        let sliding = |w: &Windowed| w.gap.is_none() && w.step < w.length;
        let sure = grows && sliding(a) && sliding(b);
        let from = self.out.len();
        let what = format!(
            "The time that is looked at {} from {} to {}: what adds up counts over {} of it",
            way(a.length, b.length),
            span(a.length),
            span(b.length),
            if b.length > a.length { "more" } else { "less" }
        );
        self.moved(&a.length, &b.length, Effect::Wider, Effect::Narrower, what);
        self.unclear_unless(sure, from);
        if let (Some(x), Some(y)) = (a.gap, b.gap) {
            if x != y {
                let what = format!("The silence that ends a session {} from {} to {}", way(x, y), span(x), span(y));
                self.push(Effect::Unclear, what);
            }
        } else if a.step != b.step {
            // Every moment at which it was judged is one still, where the new step divides the old one. Who belongs together
            // is told anew at each step.
            let same = a.length == b.length && a.link.is_none() && b.link.is_none() && sliding(a) == sliding(b);
            let finer = same && b.step.0 > 0 && a.step.0 % b.step.0 == 0;
            let coarser = same && a.step.0 > 0 && b.step.0 % a.step.0 == 0;
            let effect = match (finer, coarser) {
                (true, _) => Effect::Wider,
                (_, true) => Effect::Narrower,
                _ => Effect::Unclear,
            };
            self.push(effect, format!("It is judged every {}, before every {}", span(b.step), span(a.step)));
        }
    }

    fn sequence(&mut self, a: &Sequence, b: &Sequence) {
        self.grouped(&a.per, &b.per);
        let from = self.out.len();
        let what = format!("The steps may take {}, before {}", span(b.within), span(a.within));
        self.moved(&a.within, &b.within, Effect::Wider, Effect::Narrower, what);
        // What must not come at the end is waited for as long, where it has no time of its own.
        let waits = |s: &Sequence| s.steps.last().is_some_and(|step| step.absent && step.within.is_none());
        self.unclear_unless(!waits(a) && !waits(b), from);
        if a.steps.len() != b.steps.len() {
            let what = format!("It has {} steps, before {}", b.steps.len(), a.steps.len());
            return self.push(Effect::Unclear, what);
        }
        for (number, (x, y)) in a.steps.iter().zip(&b.steps).enumerate() {
            let who = format!("Step {}", number + 1);
            if x.absent != y.absent {
                let what = if y.absent { "must no longer come, it must not" } else { "must come, before it must not" };
                self.push(Effect::Unclear, format!("{who} {what}"));
                continue;
            }
            // The more fits what must not come, the less is found. A match takes the earliest event that fits, so more that
            // fits a step between others may leave the later ones without theirs.
            let positive = !y.absent;
            let from = self.out.len();
            self.kinds(&x.kinds, &y.kinds, positive, &who);
            let what = format!("{who} must come {} times, before {}", y.times, x.times);
            self.moved(&x.times, &y.times, Effect::Narrower.flipped(positive), Effect::Wider.flipped(positive), what);
            match (x.within, y.within) {
                (Some(p), Some(q)) => {
                    let what = format!("{who} has {} after the step before, before {}", span(q), span(p));
                    self.moved(&p, &q, Effect::Wider.flipped(positive), Effect::Narrower.flipped(positive), what);
                }
                (None, Some(q)) => {
                    let what = format!("{who} must now come within {} of the step before", span(q));
                    self.push(if y.absent { Effect::Unclear } else { Effect::Narrower }, what);
                }
                (Some(p), None) => {
                    let what = format!("{who} need no longer come within {} of the step before", span(p));
                    self.push(if y.absent { Effect::Unclear } else { Effect::Wider }, what);
                }
                (None, None) => {}
            }
            let (old, new) = (&mut self.old, &mut self.new);
            let of = format!("Of {}", who.to_lowercase());
            optional(old, x.filter.as_ref(), new, y.filter.as_ref(), positive, &of, &mut self.out);
            self.unclear_unless(y.absent || number == 0 || number + 1 == b.steps.len(), from);
        }
    }

    fn exceptions(&mut self, a: &Rule, b: &Rule) {
        let mut gone: Vec<&Exception> = a.exceptions.iter().collect();
        let mut come: Vec<&Exception> = Vec::new();
        for e in &b.exceptions {
            match gone.iter().position(|g| self.old.key(&g.filter) == self.new.key(&e.filter)) {
                Some(at) => self.dates(gone.remove(at), e),
                None => come.push(e),
            }
        }
        if let ([x], [y]) = (gone.as_slice(), come.as_slice()) {
            let (old, new) = (&mut self.old, &mut self.new);
            compare(old, &x.filter, new, &y.filter, false, "Of an event that is left out", &mut self.out);
            return self.dates(x, y);
        }
        for e in come {
            let what = self.new.speech.condition(&e.filter, true);
            self.push(Effect::Narrower, format!("An exception was added: events do not count for which {what}"));
        }
        for e in gone {
            let what = self.old.speech.condition(&e.filter, true);
            self.push(Effect::Wider, format!("An exception was removed: events count again for which {what}"));
        }
    }

    fn dates(&mut self, a: &Exception, b: &Exception) {
        let until = |e: &Exception| e.until.unwrap_or(Timestamp::MAX);
        let day = |t: Timestamp| if t == Timestamp::MAX { "for ever".to_string() } else { crate::counsel::date(t) };
        let from = |e: &Exception| e.from.unwrap_or(Timestamp::MIN);
        let since = |t: Timestamp| if t == Timestamp::MIN { "ever".to_string() } else { crate::counsel::date(t) };
        let what = format!("An exception holds until {}, before {}", day(until(b)), day(until(a)));
        self.moved(&until(a), &until(b), Effect::Narrower, Effect::Wider, what);
        let what = format!("An exception holds since {}, before since {}", since(from(b)), since(from(a)));
        self.moved(&from(a), &from(b), Effect::Wider, Effect::Narrower, what);
        let told = |e: &Exception| (e.because.clone(), e.owner.clone(), e.evidence.clone());
        if told(a) != told(b) {
            let (because, owner, evidence) = told(b);
            let what =
                format!("What is said of an exception is new: {because:?}, owner {owner:?}, evidence {evidence:?}");
            self.push(Effect::Same, what);
        }
    }

    fn outcome(&mut self, a: &Rule, b: &Rule) {
        for x in b.actions.iter().filter(|x| !a.actions.contains(x)) {
            self.push(Effect::Stricter, format!("Now proposed: {}", action(x)));
        }
        for x in a.actions.iter().filter(|x| !b.actions.contains(x)) {
            self.push(Effect::Milder, format!("No longer proposed: {}", action(x)));
        }
        self.reserved(a, b);
        let silence = |r: &Rule| r.cooldown.map_or_else(|| "at once".to_string(), |d| format!("after {}", span(d)));
        let what = format!("A violation that ceased is over {}, before {}", silence(b), silence(a));
        self.moved(&a.cooldown, &b.cooldown, Effect::Same, Effect::Same, what);
        let budget = |r: &Rule| r.budget.map_or_else(|| "any number of".to_string(), |n| n.to_string());
        let most = |r: &Rule| r.budget.unwrap_or(u64::MAX);
        let what = format!("{} violations a day may act, before {}", budget(b), budget(a));
        self.moved(&most(a), &most(b), Effect::Stricter, Effect::Milder, what);
        let share = |r: &Rule| r.rollout.unwrap_or(1_000_000);
        let what = format!("It acts on {} of the groups, before on {}", percent(share(b)), percent(share(a)));
        self.moved(&share(a), &share(b), Effect::Stricter, Effect::Milder, what);
    }

    /// What a limit holds for a call: it changes what is refused at arrival, and no finding.
    fn reserved(&mut self, a: &Rule, b: &Rule) {
        let (x, y) = match (&a.limit, &b.limit) {
            (None, None) => return,
            (None, Some(_)) => {
                return self.push(Effect::Stricter, "It is now a limit: calls are also asked about when they arrive");
            }
            (Some(_), None) => {
                return self
                    .push(Effect::Milder, "It is no longer a limit: calls are not asked about when they arrive");
            }
            (Some(x), Some(y)) => (x.reserve.as_ref(), y.reserve.as_ref()),
        };
        if x.map(|e| self.old.key(e)) == y.map(|e| self.new.key(e)) {
            return;
        }
        let held = |place: &mut Place<'_>, e: Option<&Expr>| e.map_or("nothing".to_string(), |e| place.speech.value(e));
        let (was, is) = (held(&mut self.old, x), held(&mut self.new, y));
        let effect = match (x, y) {
            (None, Some(_)) => Effect::Stricter,
            (Some(_), None) => Effect::Milder,
            _ => Effect::Unclear,
        };
        self.push(effect, format!("It holds {is} for a call until it is over, before {was}"));
    }

    /// What the record tells, and what reviewers are told.
    fn told(&mut self, a: &Rule, b: &Rule) {
        let because = |place: &Place<'_>, r: &Rule| -> String {
            r.because
                .iter()
                .map(|p| match p {
                    Piece::Text(t) => t.clone(),
                    Piece::Value(name, e) => format!("[{name}\u{1}{}]", place.key(e)),
                })
                .collect()
        };
        if because(&self.old, a) != because(&self.new, b) {
            self.push(Effect::Same, "The record gives its reason in other words or with other values");
        }
        let values = |place: &Place<'_>, r: &Rule| -> Vec<(String, String)> {
            r.lets.iter().map(|(name, e)| (name.clone(), place.key(e))).collect()
        };
        let (was, is) = (values(&self.old, a), values(&self.new, b));
        let changed: Vec<String> = is.iter().filter(|v| !was.contains(v)).map(|v| v.0.clone()).collect();
        let gone: Vec<String> =
            was.iter().filter(|(name, _)| is.iter().all(|(n, _)| n != name)).map(|v| v.0.clone()).collect();
        if !changed.is_empty() {
            self.push(Effect::Same, format!("The record tells {} anew or otherwise", listed(changed, "and")));
        }
        if !gone.is_empty() {
            self.push(Effect::Same, format!("The record no longer tells {}", listed(gone, "or")));
        }
        if a.mistaken_for != b.mistaken_for {
            self.push(Effect::Same, "Reviewers are told of other innocent look-alikes");
        }
    }
}
