//! What an alert says, and in which words: JSON for programs, text for people. What comes from events is shown as it is in
//! JSON and made harmless elsewhere.

use serde::{Deserialize, Serialize};

use crate::hir::{Mode, Rule, Verb};
use crate::violation::{Status, Violation};

/// Of the reason, and of each value of a group, so many characters are told: what events say is as long as they like.
pub const BECAUSE_CHARS_MAX: usize = 2_000;
/// Values of a group in chat and mail.
const VALUE_CHARS_MAX: usize = 200;

/// One alert: a violation, for one channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// The form of this object.
    pub version: u32,
    /// The channel that the rule names.
    pub channel: String,
    /// Id of the violation.
    pub violation: String,
    /// The rule.
    pub rule: String,
    /// `info`, `low`, `medium`, `high`.
    pub severity: String,
    /// How sure.
    pub confidence: String,
    /// `flag` or `enforce`.
    pub mode: String,
    /// `open` or `closed`.
    pub status: String,
    /// The clauses it enforces.
    pub clauses: Vec<Clause>,
    /// The group, name and value of each part.
    pub group: Vec<(String, String)>,
    /// How many accounts contributed.
    pub accounts: usize,
    /// The reason, with the values at crossing.
    pub because: String,
    /// When it opened, RFC 3339.
    pub opened_at: String,
    /// Where it can be looked at, where a public URL is configured.
    pub url: Option<String>,
    /// Its id towards receivers: the same in every attempt, also after a restart. One that comes twice is one alert.
    #[serde(default)]
    pub delivery: String,
}

/// A clause that is enforced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clause {
    /// `provider.document`.
    pub policy: String,
    /// Date of the document.
    pub version: String,
    /// Section as the document numbers it.
    pub section: String,
    /// Name of the clause.
    pub clause: String,
}

/// The channels that a violation is due to: those of its rule's alerts that the record proposes. None in shadow mode, and
/// none where an exception or another group took the finding over.
pub fn due<'r>(violation: &'r Violation, rule: &'r Rule) -> impl Iterator<Item = &'r str> {
    let tells = is_told(violation);
    let actions = rule.actions.iter().zip(&violation.actions).filter(move |_| tells);
    actions.filter(|(_, proposal)| proposal.withheld.is_none()).filter_map(|(action, _)| match &action.verb {
        Verb::Alert(channel) => Some(channel.as_str()),
        _ => None,
    })
}

/// Whether anybody is told of a violation as it stands.
pub fn is_told(violation: &Violation) -> bool {
    violation.mode > Mode::Shadow && matches!(violation.status, Status::Open | Status::Closed)
}

impl Alert {
    /// `told_at`: how many accounts it named when it was decided to tell, which tells several alerts on it apart.
    pub(super) fn new(v: &Violation, channel: &str, public_url: Option<&str>, told_at: Option<u64>) -> Alert {
        let clause = |c: &crate::violation::Enforced| Clause {
            policy: c.policy.clone(),
            version: c.version.clone(),
            section: c.section.clone(),
            clause: c.clause.clone(),
        };
        Alert {
            version: 1,
            channel: channel.to_owned(),
            violation: v.id.clone(),
            rule: v.rule.clone(),
            severity: v.severity.word().to_owned(),
            confidence: v.confidence.word().to_owned(),
            mode: v.mode.word().to_owned(),
            status: v.status.word().to_owned(),
            clauses: v.clauses.iter().map(clause).collect(),
            group: v.group.iter().map(|(n, x)| (n.clone(), x.chars().take(BECAUSE_CHARS_MAX).collect())).collect(),
            accounts: v.accounts.len(),
            because: v.because.chars().take(BECAUSE_CHARS_MAX).collect(),
            opened_at: v.opened_at.to_string(),
            url: public_url.map(|base| format!("{base}/v1/violations/{}", v.id)),
            delivery: match told_at {
                None => first(&v.id, channel),
                Some(accounts) => format!("{}-{accounts}", first(&v.id, channel)),
            },
        }
    }

    /// Its id towards receivers: the same in every attempt. Dead letters of an earlier release do not hold it.
    pub fn delivery(&self) -> String {
        if self.delivery.is_empty() { first(&self.violation, &self.channel) } else { self.delivery.clone() }
    }

    /// One line: the beginning of a chat message, the subject of a mail.
    pub(super) fn subject(&self) -> String {
        let accounts = if self.accounts == 1 { "1 account".to_owned() } else { format!("{} accounts", self.accounts) };
        plain(&format!("[{}] {}: {accounts}", self.severity, self.rule), VALUE_CHARS_MAX)
    }

    /// What follows, for people, in lines.
    pub(super) fn lines(&self) -> Vec<(&'static str, String)> {
        let group = self
            .group
            .iter()
            .map(|(name, value)| format!("{} = {}", plain(name, VALUE_CHARS_MAX), plain(value, VALUE_CHARS_MAX)));
        let clauses = self.clauses.iter().map(|c| format!("{} {} ({}, {})", c.policy, c.section, c.clause, c.version));
        let mut lines = vec![
            ("Because", plain(&self.because, BECAUSE_CHARS_MAX)),
            ("Group", group.collect::<Vec<_>>().join(", ")),
            ("Clause", plain(&clauses.collect::<Vec<_>>().join("; "), BECAUSE_CHARS_MAX)),
            ("Mode", format!("{}, {}", self.mode, self.status)),
            ("Opened", self.opened_at.clone()),
            ("Violation", self.violation.clone()),
        ];
        lines.retain(|(_, text)| !text.is_empty());
        if let Some(url) = &self.url {
            lines.push(("Look", url.clone()));
        }
        lines
    }
}

fn first(violation: &str, channel: &str) -> String {
    format!("{violation}-{}", token(channel))
}

/// Text without what could steer a terminal, a mail or a reader: control characters and those that change the direction of
/// writing become spaces.
pub(super) fn plain(text: &str, chars_max: usize) -> String {
    let steers = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    let mut out: String = text.chars().take(chars_max).map(|c| if steers(c) { ' ' } else { c }).collect();
    if text.chars().nth(chars_max).is_some() {
        out.push('…');
    }
    out
}

/// Letters, digits and `-`: for ids in headers.
pub(super) fn token(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(64).collect()
}
