//! Links: which accounts belong together, and why.

use super::{Expr, ListId};
use crate::source::Span;
use crate::time::Duration;

/// Most families of a link: a tie is told by one bit a family.
pub const LINK_FAMILIES_MAX: usize = 8;
/// Values shared by more accounts are ignored where a family does not say how many are too many.
pub const LINK_CAP_DEFAULT: u32 = 100;
/// The greatest number that `shared by more than` takes: so many accounts of one value are held against each other.
pub const LINK_CAP_MAX: u32 = 1_000;
/// Most edges (an account with a value) of one family: above it the oldest steps are forgotten, which is counted and
/// disclosed.
pub const LINK_EDGES_MAX: usize = 4_000_000;
/// Most pairs of accounts, over all values that tie: above it the values that most accounts share are ignored, which is
/// counted and disclosed.
pub const LINK_PAIRS_MAX: u64 = 8_000_000;

/// Index of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u32);

/// Accounts that share values of enough families belong together.
#[derive(Debug, Clone)]
pub struct Link {
    /// Its name, used in `per`.
    pub name: String,
    /// What ties accounts; at least one.
    pub families: Vec<Family>,
    /// Of how many families two accounts must share a value; at least one.
    pub needs: u32,
    /// Where it is declared.
    pub span: Span,
}

/// One trait that ties accounts.
#[derive(Debug, Clone)]
pub struct Family {
    /// As written, in one spelling.
    pub name: String,
    /// The value of a single event; of several values, each by itself.
    pub of: Expr,
    /// How long an account is taken to have a value with which it was seen.
    pub within: Duration,
    /// How often the value must have been seen in that time, over all accounts; at least 1.
    pub used: u64,
    /// Lists whose values tie nobody, asked for the time of the event.
    pub ignoring: Vec<ListId>,
    /// Values seen with more accounts in that time tie nobody; 2 to [`LINK_CAP_MAX`].
    pub cap: u32,
}

/// What a rule may say of a link group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LinkValue {
    /// Number of its accounts.
    Members,
    /// Names of the families of which at least two of its accounts share a value, in the order of the link.
    Families,
    /// Share of its accounts that have a value of a family (by its number) in common with another of them.
    TiedShare(u16),
}

impl LinkValue {
    /// The word of the language.
    pub fn word(self) -> &'static str {
        match self {
            LinkValue::Members => "link.members",
            LinkValue::Families => "link.families",
            LinkValue::TiedShare(_) => "tied_share",
        }
    }
}
