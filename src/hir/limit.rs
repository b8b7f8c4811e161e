//! What a limit holds back at arrival. What it finds is a windowed rule like any other: a sum above a bound in windows that
//! follow one another.

use super::Expr;

/// What a limit adds to its rule.
#[derive(Debug, Clone)]
pub struct Limit {
    /// What a call may use, in the unit of `settle`, over the call as it arrives. `None` where nothing is held for it.
    pub reserve: Option<Expr>,
    /// What a call used, over single events: never below zero.
    pub settle: Expr,
    /// What may be settled in a window, over single events: a constant, or made of values of the key.
    pub most: Expr,
}
