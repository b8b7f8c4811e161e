//! Actions and what happened to them, for people.

use crate::cli::terminal::{cut, grouped, printable};
use crate::enforce::{Act, Action, Actor, Entry, Held, Scope, State};
use crate::time::Timestamp;

/// Members that a whole record names.
const MEMBERS_SHOWN: usize = 50;

/// Whom it bears on: the first so many.
pub(super) fn members(a: &Action, most: usize) -> String {
    let mut shown: Vec<String> = a.members().take(most).map(|m| cut(m, 40)).collect();
    let rest = a.members().len().saturating_sub(most);
    if rest > 0 {
        shown.push(format!("… and {} more", grouped(rest as u64)));
    }
    if shown.is_empty() { "nobody".to_string() } else { shown.join(", ") }
}

fn actor(actor: &Actor) -> String {
    match actor {
        Actor::Rule(name) => format!("rule {}", cut(name, 40)),
        Actor::Person(name) => cut(name, 100),
        Actor::Fineprint => "fineprint".to_string(),
    }
}

/// Who brought it where it stands.
pub(super) fn by(a: &Action) -> String {
    match (&a.ended, a.approvals.last()) {
        (Some(ended), _) => actor(&ended.by),
        (None, Some(approval)) => cut(&approval.by, 100),
        (None, None) => actor(&Actor::Rule(a.terms.rule.clone())),
    }
}

/// Since when it stands there.
pub(super) fn since(a: &Action) -> Timestamp {
    let ended = a.ended.as_ref().map(|e| e.at);
    ended.or(a.taken_at).or(a.approvals.last().map(|p| p.at)).unwrap_or(a.proposed_at)
}

/// Until when it stands there, or from when it will.
pub(super) fn until(a: &Action) -> String {
    match (a.state, a.until) {
        (State::Delayed(from), _) => format!("from {from}"),
        (State::InForce, Some(until)) => until.to_string(),
        (State::InForce, None) => "released".to_string(),
        _ => "-".to_string(),
    }
}

fn standing(a: &Action) -> String {
    match a.state {
        State::Withheld(Held::Covered(by)) => format!("withheld: action {by} asks the same of the same"),
        State::Withheld(held) => format!("withheld: {}", held.word()),
        State::Shadow(from) => match a.until {
            Some(until) => format!("shadow: it would be in force from {from} until {until}"),
            None => format!("shadow: it would be in force from {from}"),
        },
        State::AwaitingReview => {
            let (has, needs) = (a.approvals.len(), a.terms.approvals);
            format!("waits for review: {has} of {needs} have approved")
        }
        State::Delayed(from) => format!("delayed: it takes effect at {from}"),
        State::InForce => match a.until {
            Some(until) => format!("in force until {until}"),
            None => "in force until somebody releases it".to_string(),
        },
        State::Released | State::Refused | State::Expired => {
            format!("{} on {} by {}", a.state.word(), since(a), by(a))
        }
    }
}

/// One action and all that happened to it.
pub(super) fn prose(a: &Action, entries: &[Entry]) -> String {
    let t = &a.terms;
    let mut out = format!("Action {}: {}\n  {}\n\n", a.id, printable(&t.written), standing(a));
    let mut line = |name: &str, value: String| out.push_str(&format!("  {name:<10} {value}\n"));
    line("rule", format!("{}, {} in mode {}", printable(&t.rule), t.severity.word(), t.mode.word()));
    line("clause", printable(&t.clause).into_owned());
    line("violation", printable(&a.violation).into_owned());
    let who = match (t.scope, a.members().len()) {
        (Scope::Account | Scope::Group, 1) => "account",
        (Scope::Account | Scope::Group, _) => "accounts",
        (Scope::Key, _) => "key",
        (Scope::Org, _) => "org",
    };
    line("bears on", format!("{} {who}: {}", grouped(a.members().len() as u64), members(a, MEMBERS_SHOWN)));
    let released: Vec<String> = a.released().map(|m| cut(m, 40)).collect();
    if !released.is_empty() {
        line("released", format!("{}, for good", released.join(", ")));
    }
    line("effect", format!("{}; the rule asks for {}", t.verdict().word(), t.asked.word()));
    line("told", printable(&t.reason).into_owned());
    out.push('\n');
    for e in entries {
        out.push_str(&format!("{}  {}\n", e.at, happened(e)));
        if !e.reason.is_empty() {
            out.push_str(&format!("    {}\n", printable(&e.reason)));
        }
    }
    out
}

/// What happened, on one line.
pub(super) fn happened(e: &Entry) -> String {
    let what = match &e.act {
        Act::Proposed(p) if p.held.is_some() => "proposed and withheld".to_string(),
        Act::Taken { until: Some(until) } => format!("taken until {until}"),
        Act::Taken { until: None } => "taken until somebody releases it".to_string(),
        Act::Delayed { until } => format!("delayed until {until}"),
        Act::Extended { until: Some(until) } => format!("extended until {until}"),
        Act::Extended { until: None } => "extended until somebody releases it".to_string(),
        Act::MemberReleased { member } => format!("{} released for good", cut(member, 100)),
        Act::MembersAdded { members } if members.len() == 1 => "1 member added".to_string(),
        Act::MembersAdded { members } => format!("{} members added", grouped(members.len() as u64)),
        Act::AwaitingReview => "waits for review".to_string(),
        other => other.word().to_string(),
    };
    format!("{what} by {}", actor(&e.actor))
}
