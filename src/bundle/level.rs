//! How much a bundle shows: one table.

/// For whom a bundle is made, the least told first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Anybody.
    Public,
    /// Other providers.
    Partner,
    /// A court, an authority, a lawyer: who may know whom it is about, and must be able to check it.
    Authority,
    /// Within the operator.
    Internal,
}

/// A part of what is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Accounts, and keys and organisations that actions bear on.
    Accounts,
    /// Addresses, cards, networks and other values by which accounts are grouped or tied, and named values that are texts.
    Values,
    /// Ids of violations, events and actions.
    Ids,
    /// Times.
    Times,
    /// What was counted.
    Numbers,
    /// The bounds that it is held against.
    Thresholds,
    /// Rule texts and their hashes.
    Rules,
    /// Texts that people or rules wrote about the case: sentences, reasons, owners, evidence of exceptions, reviewers' names.
    Words,
    /// Digests and places in the log, with which each thing is proved.
    Proofs,
    /// Journaled events, and the whole pack with lists and registry, to compute findings again.
    Slices,
}

/// How a part is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// As it is.
    Whole,
    /// As a pseudonym of this bundle.
    Pseudonym,
    /// The day alone.
    Day,
    /// Not at all.
    Hidden,
}

use Shown::{Day, Hidden, Pseudonym, Whole};

/// What each level shows. Verdicts, counts, rule names, clauses, families, outcomes and acts are shown at each; an actor's name
/// is in no record, and prompt text in none.
pub const TABLE: [(Part, &str, [Shown; 4]); 10] = [
    (Part::Accounts, "accounts, keys and organisations", [Pseudonym, Pseudonym, Whole, Whole]),
    (
        Part::Values,
        "addresses, cards, networks and other values that group or tie accounts",
        [Pseudonym, Pseudonym, Whole, Whole],
    ),
    (Part::Ids, "ids of violations, events and actions", [Pseudonym, Pseudonym, Whole, Whole]),
    (Part::Times, "times", [Day, Whole, Whole, Whole]),
    (Part::Numbers, "what was counted", [Whole, Whole, Whole, Whole]),
    (Part::Thresholds, "thresholds", [Hidden, Whole, Whole, Whole]),
    (Part::Rules, "rule texts and their hashes", [Hidden, Whole, Whole, Whole]),
    (
        Part::Words,
        "sentences of rules, reasons, names of reviewers, evidence of exceptions",
        [Hidden, Hidden, Whole, Whole],
    ),
    (Part::Proofs, "digests, places in the log, proofs", [Hidden, Hidden, Whole, Whole]),
    (Part::Slices, "journaled events, lists and registry, to compute findings again", [Hidden, Hidden, Hidden, Whole]),
];

impl Level {
    /// All, the least told first.
    pub const ALL: [Level; 4] = [Level::Public, Level::Partner, Level::Authority, Level::Internal];

    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            Level::Public => "public",
            Level::Partner => "partner",
            Level::Authority => "authority",
            Level::Internal => "internal",
        }
    }

    /// The level of this word.
    pub fn from_word(word: &str) -> Option<Level> {
        Level::ALL.into_iter().find(|level| level.word() == word)
    }

    /// How a part is shown.
    pub fn shows(self, part: Part) -> Shown {
        let row = TABLE.iter().find(|(of, ..)| *of == part);
        row.and_then(|(.., shown)| shown.get(self as usize)).copied().unwrap_or(Hidden)
    }

    /// Whether records are as they were sealed, so that each can be proved; otherwise the log's key attests what they show.
    pub fn is_proved(self) -> bool {
        self.shows(Part::Proofs) == Whole
    }
}
