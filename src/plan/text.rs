//! Tests on texts, and the one pass over a text that says which tests are worth running. Each test gives up the literals
//! that any match must contain; all literals of a field are searched at once; a test runs only where one of its own occurred.

use std::sync::Arc;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind, Span, packed};
use regex::{Regex, RegexBuilder};
use regex_syntax::hir::{Class, Hir, HirKind};

use crate::hir::TextTest;
use crate::reference::{Validity, holds};
use crate::time::Timestamp;

/// Largest compiled size of one pattern, bytes. The checker refuses larger ones with the same bound.
pub const REGEX_BYTES_MAX: usize = 1 << 20;
/// Literals shorter than this occur everywhere and filter nothing.
const LITERAL_BYTES_MIN: usize = 3;
/// A test with more alternatives than this is not filtered by literals.
const LITERALS_MAX: usize = 64;
/// Above this many bytes of literals the automaton is an NFA, which is smaller and slower.
const DFA_LITERAL_BYTES_MAX: usize = 200_000;

/// A compiled test on one text.
#[derive(Debug)]
pub(crate) struct TextMatcher {
    test: Test,
    /// A match must contain one of these, ASCII letters in either case. Empty: every text must be looked at.
    literals: Vec<String>,
    /// Whether letters fold, so that the two non-ASCII characters that fold to ASCII letters defeat the literals.
    folds: bool,
    /// Whether the occurrence of a literal is already the answer, and in which case.
    decides: Decides,
}

/// What the occurrence of a literal says about its test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decides {
    /// That it is worth running.
    Nothing,
    /// That it holds, where letters are in the literal's own case.
    InItsCase,
    /// That it holds.
    InEitherCase,
}

#[derive(Debug)]
enum Test {
    Any(Vec<Phrase>),
    /// Phrases of a list, some of which count in some spans only; no span is always.
    AnyListed(Vec<(Phrase, Box<[Validity]>)>),
    All(Vec<Phrase>),
    Starts(Phrase),
    Ends(Phrase),
    Regex(Regex),
}

#[derive(Debug)]
enum Phrase {
    Exact(String),
    /// Anchored for starts and ends.
    Folded(Regex),
}

impl TextMatcher {
    /// Compiles a test; phrases of a list, with the spans in which they count, are given by the caller. Fails with the
    /// pattern's own message.
    pub(crate) fn new(
        test: &TextTest,
        listed: &[(&str, &[Validity])],
        ignoring_case: bool,
    ) -> Result<TextMatcher, String> {
        let folded = |text: &str, before: &str, after: &str| {
            regex(&format!("{before}{}{after}", regex::escape(text)), true).map(Phrase::Folded)
        };
        let phrase = |text: &str| match ignoring_case {
            true => folded(text, "", ""),
            false => Ok(Phrase::Exact(text.to_string())),
        };
        let phrases = |all: &[String]| all.iter().map(|text| phrase(text)).collect::<Result<Vec<_>, _>>();
        let (test, mut literals) = match test {
            TextTest::ContainsAny(p) => (Test::Any(phrases(p)?), p.clone()),
            TextTest::ContainsAnyOf(_) => {
                let dated = listed.iter().any(|(_, spans)| !spans.is_empty());
                let compiled = listed.iter().map(|(text, spans)| Ok((phrase(text)?, Box::from(*spans))));
                let compiled = compiled.collect::<Result<Vec<_>, String>>()?;
                // Where no row has dates, the occurrence of a literal is the answer.
                let test = if dated {
                    Test::AnyListed(compiled)
                } else {
                    Test::Any(compiled.into_iter().map(|(phrase, _)| phrase).collect())
                };
                (test, listed.iter().map(|(text, _)| (*text).to_string()).collect())
            }
            TextTest::ContainsAll(p) => {
                let longest = p.iter().max_by_key(|t| t.len()).cloned();
                (Test::All(phrases(p)?), longest.into_iter().collect())
            }
            TextTest::StartsWith(p) => (
                Test::Starts(if ignoring_case { folded(p, "^", "")? } else { Phrase::Exact(p.clone()) }),
                vec![p.clone()],
            ),
            TextTest::EndsWith(p) => (
                Test::Ends(if ignoring_case { folded(p, "", "$")? } else { Phrase::Exact(p.clone()) }),
                vec![p.clone()],
            ),
            TextTest::Matches(pattern) => (Test::Regex(regex(pattern, ignoring_case)?), required_literals(pattern)),
        };
        let phrases_are_ascii = literals.iter().all(|l| l.is_ascii());
        // A folded phrase may differ from the text in the case of non-ASCII letters, which the pass does not fold.
        literals = if ignoring_case || matches!(test, Test::Regex(_)) {
            literals.iter().map(|l| longest_ascii_run(l)).collect()
        } else {
            literals
        };
        let usable = !literals.is_empty()
            && literals.len() <= LITERALS_MAX.max(listed.len())
            && literals.iter().all(|l| l.len() >= LITERAL_BYTES_MIN);
        if !usable {
            literals.clear();
        }
        let folds = ignoring_case || matches!(test, Test::Regex(_));
        let decides = match &test {
            Test::Any(_) if !folds => Decides::InItsCase,
            Test::Any(_) if phrases_are_ascii => Decides::InEitherCase,
            _ => Decides::Nothing,
        };
        Ok(TextMatcher { test, literals, folds, decides })
    }

    /// Whether the test holds for a text at a moment, by which rows of lists count.
    pub(crate) fn matches(&self, text: &str, at: Timestamp) -> bool {
        let occurs = |p: &Phrase| match p {
            Phrase::Exact(t) => memchr::memmem::find(text.as_bytes(), t.as_bytes()).is_some(),
            Phrase::Folded(r) => r.is_match(text),
        };
        match &self.test {
            Test::Any(all) => all.iter().any(occurs),
            Test::AnyListed(all) => all.iter().any(|(p, spans)| (spans.is_empty() || holds(spans, at)) && occurs(p)),
            Test::All(all) => all.iter().all(occurs),
            Test::Starts(Phrase::Exact(t)) => text.starts_with(t.as_str()),
            Test::Ends(Phrase::Exact(t)) => text.ends_with(t.as_str()),
            Test::Starts(Phrase::Folded(r)) | Test::Ends(Phrase::Folded(r)) | Test::Regex(r) => r.is_match(text),
        }
    }

    /// Whether the pass over all literals can spare this test.
    pub(crate) fn is_filtered(&self) -> bool {
        !self.literals.is_empty()
    }
}

fn regex(pattern: &str, ignoring_case: bool) -> Result<Regex, String> {
    RegexBuilder::new(pattern)
        .case_insensitive(ignoring_case)
        .size_limit(REGEX_BYTES_MAX)
        .dfa_size_limit(REGEX_BYTES_MAX)
        .build()
        .map_err(|e| e.to_string())
}

fn longest_ascii_run(text: &str) -> String {
    text.split(|c: char| !c.is_ascii()).max_by_key(|run| run.len()).unwrap_or("").to_string()
}

/// The literals of which any match of the pattern contains one; empty where none are required. Letters that a pattern
/// folds (`(?i)`) count as the letter.
pub fn required_literals(pattern: &str) -> Vec<String> {
    let Ok(hir) = regex_syntax::Parser::new().parse(pattern) else { return Vec::new() };
    required(&hir)
        .map_or_else(Vec::new, |set| set.literals.into_iter().filter_map(|l| String::from_utf8(l).ok()).collect())
}

#[derive(Clone)]
struct Required {
    literals: Vec<Vec<u8>>,
    /// Whether the literals are the whole of what the part matches, so that a neighbour may be joined on.
    exact: bool,
}

impl Required {
    fn worth(&self) -> (usize, usize) {
        (self.literals.iter().map(Vec::len).min().unwrap_or(0), usize::MAX - self.literals.len())
    }
}

fn required(hir: &Hir) -> Option<Required> {
    match hir.kind() {
        HirKind::Literal(l) => Some(Required { literals: vec![l.0.to_vec()], exact: true }),
        HirKind::Class(class) => {
            let letters = class_letters(class)?;
            Some(Required { literals: letters, exact: true })
        }
        HirKind::Look(_) | HirKind::Empty => Some(Required { literals: vec![Vec::new()], exact: true }),
        HirKind::Capture(c) => required(&c.sub),
        HirKind::Repetition(r) => {
            let inner = required(&r.sub)?;
            match (r.min, r.max) {
                (1, Some(1)) => Some(inner),
                (0, Some(1)) if inner.exact && inner.literals.len() < 8 => {
                    let mut literals = inner.literals;
                    literals.push(Vec::new());
                    Some(Required { literals, exact: true })
                }
                (0, _) => None,
                _ => Some(Required { exact: false, ..inner }),
            }
        }
        HirKind::Alternation(parts) => {
            let mut all = Required { literals: Vec::new(), exact: true };
            for part in parts {
                let r = required(part)?;
                all.exact &= r.exact;
                all.literals.extend(r.literals);
            }
            (all.literals.len() <= LITERALS_MAX).then_some(all)
        }
        HirKind::Concat(parts) => {
            let mut best: Option<Required> = None;
            let mut run = Required { literals: vec![Vec::new()], exact: true };
            let mut whole = true;
            let mut keep = |candidate: &Required| {
                if candidate.literals.iter().all(|l| !l.is_empty())
                    && best.as_ref().is_none_or(|b| candidate.worth() > b.worth())
                {
                    best = Some(candidate.clone());
                }
            };
            for part in parts {
                let r = required(part);
                match r {
                    Some(r) if r.exact && run.literals.len() * r.literals.len() <= LITERALS_MAX => {
                        let joined = run
                            .literals
                            .iter()
                            .flat_map(|a| r.literals.iter().map(move |b| [a.as_slice(), b].concat()));
                        run.literals = joined.collect();
                    }
                    other => {
                        whole = false;
                        keep(&run);
                        run.literals = vec![Vec::new()];
                        match other {
                            Some(r) if r.exact => run = r,
                            Some(r) => keep(&r),
                            None => {}
                        }
                    }
                }
            }
            keep(&run);
            if whole {
                return Some(run);
            }
            best.map(|b| Required { exact: false, ..b })
        }
    }
}

/// The members of a class that stands for few characters; a letter in both cases is that letter.
fn class_letters(class: &Class) -> Option<Vec<Vec<u8>>> {
    let mut chars: Vec<char> = match class {
        Class::Unicode(c) => c.iter().flat_map(|r| (r.start()..=r.end()).take(9)).collect(),
        Class::Bytes(c) => {
            c.iter().flat_map(|r| (r.start()..=r.end()).take(9)).filter(u8::is_ascii).map(char::from).collect()
        }
    };
    chars.iter_mut().for_each(|c| {
        *c = match *c {
            '\u{17f}' => 's',
            '\u{212a}' => 'k',
            other => other.to_ascii_lowercase(),
        }
    });
    chars.sort_unstable();
    chars.dedup();
    (chars.len() <= 4).then(|| chars.iter().map(|c| c.to_string().into_bytes()).collect())
}

/// Up to so many literals are searched by vector instructions, which pass over a text several times faster than an automaton as
/// long as few of its places look like a literal.
const FEW_LITERALS_MAX: usize = 64;

/// A search for few literals.
#[derive(Debug)]
struct Few {
    searcher: packed::Searcher,
    literals: Vec<Box<[u8]>>,
    /// Per literal, the others that can occur at the same place: of two, one then begins with the other.
    along: Vec<Vec<u32>>,
}

impl Few {
    /// `None` where they are too many, or the machine has no such instructions.
    fn new(patterns: &[String]) -> Option<Few> {
        if patterns.is_empty() || patterns.len() > FEW_LITERALS_MAX {
            return None;
        }
        let mut builder = packed::Config::new().builder();
        let searcher = builder.extend(patterns.iter().map(String::as_bytes)).build()?;
        let along = patterns.iter().enumerate().map(|(i, p)| {
            let both = |q: &String| p.starts_with(q.as_str()) || q.starts_with(p.as_str());
            (0..).zip(patterns).filter(|(j, q)| *j != i && both(q)).map(|(j, _)| j as u32).collect()
        });
        let along = along.collect();
        Some(Few { searcher, along, literals: patterns.iter().map(|p| p.as_bytes().into()).collect() })
    }

    /// Calls `found` with each literal and where it occurs, overlapping ones too. `text` has no upper-case ASCII letters.
    fn scan(&self, text: &[u8], mut found: impl FnMut(usize, Span)) {
        let mut from = 0;
        while let Some(m) = self.searcher.find_in(text, Span::from(from..text.len())) {
            let (first, start) = (m.pattern(), m.start());
            found(first.as_usize(), m.span());
            for other in self.along.get(first.as_usize()).into_iter().flatten() {
                let Some(literal) = self.literals.get(*other as usize) else { continue };
                if text.get(start..).is_some_and(|rest| rest.starts_with(literal)) {
                    found(*other as usize, Span::from(start..start + literal.len()));
                }
            }
            from = start + 1;
        }
    }
}

/// Which text tests of one field are worth running on a text.
#[derive(Debug, Default)]
pub(crate) struct Prefilter {
    few: Option<Few>,
    automaton: Option<AhoCorasick>,
    /// Per literal, the tests it belongs to and whether its occurrence decides them.
    owners: Vec<Vec<Owner>>,
    /// Tests that fold letters: all are worth running where a non-ASCII character folds to an ASCII letter.
    folding: Vec<u32>,
}

#[derive(Debug, Clone)]
struct Owner {
    test: u32,
    /// What the literal's occurrence says.
    decides: Decides,
    /// The literal as written.
    literal: Box<str>,
}

/// What the pass found for one test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hit {
    /// It must be run.
    Worth(u32),
    /// It holds.
    Holds(u32),
}

impl Prefilter {
    /// A pass for tests, each with its number.
    pub(crate) fn new(tests: &[(u32, Arc<TextMatcher>)]) -> Prefilter {
        let mut patterns: Vec<String> = Vec::new();
        let mut owners: Vec<Vec<Owner>> = Vec::new();
        let mut folding = Vec::new();
        let mut known: hashbrown::HashMap<String, usize> = hashbrown::HashMap::new();
        for (number, matcher) in tests.iter().filter(|(_, m)| m.is_filtered()) {
            if matcher.folds {
                folding.push(*number);
            }
            for literal in &matcher.literals {
                let at = *known.entry(literal.to_ascii_lowercase()).or_insert_with(|| {
                    patterns.push(literal.to_ascii_lowercase());
                    owners.push(Vec::new());
                    patterns.len() - 1
                });
                if let Some(list) = owners.get_mut(at) {
                    let literal = literal.as_str().into();
                    list.push(Owner { test: *number, decides: matcher.decides, literal });
                }
            }
        }
        let bytes: usize = patterns.iter().map(String::len).sum();
        let kind = if bytes <= DFA_LITERAL_BYTES_MAX { AhoCorasickKind::DFA } else { AhoCorasickKind::ContiguousNFA };
        let few = Few::new(&patterns);
        let automaton = (!patterns.is_empty() && few.is_none())
            .then(|| {
                AhoCorasick::builder()
                    .ascii_case_insensitive(true)
                    .match_kind(MatchKind::Standard)
                    .kind(Some(kind))
                    .build(&patterns)
                    .ok()
            })
            .flatten();
        Prefilter { few, automaton, owners, folding }
    }

    /// One pass: calls `found` for each test that is worth running or already decided; may name a test several times. What
    /// `folded` holds is of no account.
    pub(crate) fn scan(&self, text: &str, folded: &mut Vec<u8>, mut found: impl FnMut(Hit)) {
        let mut occurs = |literal: usize, span: Span| {
            for owner in self.owners.get(literal).into_iter().flatten() {
                match owner.decides {
                    Decides::Nothing => found(Hit::Worth(owner.test)),
                    Decides::InEitherCase => found(Hit::Holds(owner.test)),
                    Decides::InItsCase => {
                        if text.as_bytes().get(span.range()) == Some(owner.literal.as_bytes()) {
                            found(Hit::Holds(owner.test));
                        }
                    }
                }
            }
        };
        if let Some(few) = &self.few {
            folded.clear();
            folded.extend_from_slice(text.as_bytes());
            folded.make_ascii_lowercase();
            few.scan(folded, occurs);
        } else if let Some(automaton) = &self.automaton {
            for m in automaton.find_overlapping_iter(text.as_bytes()) {
                occurs(m.pattern().as_usize(), m.span());
            }
        }
        if !self.folding.is_empty() && !text.is_ascii() && (text.contains('\u{17f}') || text.contains('\u{212a}')) {
            self.folding.iter().for_each(|t| found(Hit::Worth(*t)));
        }
    }
}
