//! A call that cannot be carried out, with what to write instead.

use std::fmt;

/// A message for the caller: what is wrong, and what to write instead.
#[derive(Debug)]
pub(super) struct Wrong {
    what: String,
    instead: String,
}

impl Wrong {
    /// What is wrong and what to write instead.
    pub(super) fn new(what: impl Into<String>, instead: impl Into<String>) -> Self {
        Wrong { what: what.into(), instead: instead.into() }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\nhelp: {}", self.what, self.instead)
    }
}

impl std::error::Error for Wrong {}
