//! What the language can say and this version does not evaluate. It is never read and ignored: each use is an error that
//! names the construct.

use crate::diagnostic::{Code, Diagnostic};
use crate::source::Span;

/// The message about a construct that is not evaluated.
pub(super) fn diagnostic(span: Span, what: &str) -> Diagnostic {
    Diagnostic::new(Code::NOT_EVALUATED, span, format!("{what}: this version does not evaluate it"))
        .label("not evaluated")
        .help("take it out of the file; a rule must not rely on it yet")
}
