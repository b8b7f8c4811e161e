//! Groups by a value of which an event has several: the fingerprints of a template, the items of a list.

use super::{Expr, ExprKind, Windowed};
use crate::event::decode::LIST_ITEMS_MAX;
use crate::template::FINGERPRINTS_MAX;
use crate::value::Type;

impl Windowed {
    /// The part of the group of which an event has several values, each of which is a key.
    pub fn many(&self) -> Option<usize> {
        self.per.iter().position(|part| matches!(part.ty, Type::List(_)))
    }

    /// The most values of that part that an event may have: 1 where there is no such part.
    pub fn keys_per_event(&self) -> usize {
        match self.many().and_then(|at| self.per.get(at)).map(|part| &part.kind) {
            None => 1,
            Some(ExprKind::Template(..)) => FINGERPRINTS_MAX,
            Some(_) => LIST_ITEMS_MAX,
        }
    }

    /// Whether groups are merged that are of one template or of the same accounts: a template has many fingerprints, and one
    /// campaign is one violation.
    pub fn merges(&self) -> bool {
        self.per.iter().any(|part| matches!(part.kind, ExprKind::Template(..)))
    }
}

/// Prompts of one window whose wordings are told apart; above it, those of a sample of so many.
pub const PROMPTS_MAX: usize = 1 << 10;

impl Expr {
    /// Whether it is the template fingerprints of a text.
    pub fn is_template(&self) -> bool {
        matches!(self.kind, ExprKind::Template(..))
    }
}

/// The type of a part of a group: of one of its values, where an event has several.
pub fn key_type(part: &Expr) -> &Type {
    match &part.ty {
        Type::List(of) => of,
        ty => ty,
    }
}
