//! Texts from grammars: the only source of prompts. A grammar file holds rules, `@name` on a line of its own, and below
//! each its alternatives, one a line. `{name}` stands for any alternative of that rule, `{Name}` begins with a capital,
//! `{2-90}` is a number, `\n` a line break. A line with `*3` before it is taken three times as often.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::draw::Draw;

/// How deep rules may call rules.
const DEPTH_MAX: usize = 12;

/// All grammar files. Rules of one file may use those of another.
const FILES: &[(&str, &str)] = &[
    ("words", include_str!("text/words.txt")),
    ("ask", include_str!("text/ask.txt")),
    ("work", include_str!("text/work.txt")),
    ("school", include_str!("text/school.txt")),
    ("tongues", include_str!("text/tongues.txt")),
    ("public", include_str!("text/public.txt")),
    ("campaign", include_str!("text/campaign.txt")),
];

/// A piece of an alternative.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Rule { name: String, capital: bool },
    Number(i64, i64),
}

/// The alternatives of each rule.
#[derive(Debug, Default)]
pub(super) struct Grammar {
    rules: BTreeMap<String, Vec<Vec<Piece>>>,
}

/// The grammar of the module.
pub(super) static GRAMMAR: LazyLock<Grammar> = LazyLock::new(|| {
    let mut grammar = Grammar::default();
    for (_, text) in FILES {
        grammar.add(text);
    }
    grammar
});

impl Grammar {
    fn add(&mut self, text: &str) {
        let mut rule = String::new();
        for line in text.lines() {
            let line = line.trim_end();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(name) = line.strip_prefix('@') {
                rule = name.trim().to_string();
                self.rules.entry(rule.clone()).or_default();
                continue;
            }
            let (times, line) = match line.strip_prefix('*').and_then(|l| l.split_once(' ')) {
                Some((n, rest)) => (n.parse().unwrap_or(1), rest),
                None => (1, line),
            };
            let alternatives = self.rules.entry(rule.clone()).or_default();
            // Words stand several to a line, between bars.
            for part in line.split(" | ") {
                let pieces = pieces(&part.replace("\\n", "\n"));
                alternatives.extend(std::iter::repeat_n(pieces, times));
            }
        }
    }

    /// A text of the rule; empty where there is no such rule.
    pub(super) fn text(&self, rule: &str, draw: &mut Draw) -> String {
        let mut out = String::new();
        self.write(rule, false, draw, &mut out, 0);
        out
    }

    /// So many texts of the rule, joined.
    pub(super) fn texts(&self, rule: &str, n: usize, between: &str, draw: &mut Draw) -> String {
        (0..n).map(|_| self.text(rule, draw)).collect::<Vec<_>>().join(between)
    }

    /// Whether there is such a rule.
    #[cfg(test)]
    fn has(&self, rule: &str) -> bool {
        self.rules.contains_key(rule)
    }

    fn write(&self, rule: &str, capital: bool, draw: &mut Draw, out: &mut String, depth: usize) {
        let start = out.len();
        if depth <= DEPTH_MAX
            && let Some(alternatives) = self.rules.get(rule)
            && let Some(pieces) = alternatives.get(draw.below(alternatives.len()))
        {
            for piece in pieces {
                match piece {
                    Piece::Text(text) => out.push_str(text),
                    Piece::Number(low, high) => out.push_str(&draw.between(*low, *high).to_string()),
                    Piece::Rule { name, capital } => self.write(name, *capital, draw, out, depth + 1),
                }
            }
        }
        if capital {
            capitalise(out, start);
        }
    }
}

fn capitalise(text: &mut String, from: usize) {
    let Some(first) = text.get(from..).and_then(|t| t.chars().next()) else { return };
    let upper: String = first.to_uppercase().collect();
    text.replace_range(from..from + first.len_utf8(), &upper);
}

fn pieces(text: &str) -> Vec<Piece> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((slot, behind)) = after.split_once('}') else { break };
        if !before.is_empty() {
            found.push(Piece::Text(before.to_string()));
        }
        let number = slot.split_once('-').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
        found.push(match number {
            Some((low, high)) => Piece::Number(low, high),
            None => {
                let capital = slot.starts_with(char::is_uppercase);
                let mut name = slot.to_string();
                if capital {
                    name = name.to_lowercase();
                }
                Piece::Rule { name, capital }
            }
        });
        rest = behind;
    }
    if !rest.is_empty() {
        found.push(Piece::Text(rest.to_string()));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{GRAMMAR, Piece};
    use crate::simulate::draw::Draw;

    #[test]
    fn every_rule_that_is_named_exists_and_has_alternatives() {
        for (name, alternatives) in &GRAMMAR.rules {
            assert!(!alternatives.is_empty(), "`{name}` has no alternative");
            for piece in alternatives.iter().flatten() {
                if let Piece::Rule { name: used, .. } = piece {
                    assert!(GRAMMAR.has(used), "`{name}` uses `{used}`, which does not exist");
                }
            }
        }
    }

    #[test]
    fn every_rule_ends() {
        for name in GRAMMAR.rules.keys() {
            let text = GRAMMAR.text(name, &mut Draw::of(3, name, &[]));
            assert!(!text.trim().is_empty() && !text.contains(['{', '}']) || name.contains("json"), "{name}: {text}");
        }
    }
}
