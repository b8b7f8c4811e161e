//! `template(prompt)` and `template(prompt, loose)`.

use super::{Signature, one, wrong};
use crate::check::expr::node;
use crate::check::scope::Scope;
use crate::check::{Checker, wording};
use crate::event::FIELDS;
use crate::event::fields::Privacy;
use crate::hir::{Expr, ExprKind};
use crate::source::Span;
use crate::syntax::ast::{self, Arg, Call};
use crate::template::Strictness;
use crate::value::Type;

/// Lowers the call. Its text is a field of what was said: fingerprints are made once an event and kept beside the field.
pub(super) fn lower(
    cx: &mut Checker<'_>,
    scope: &mut Scope,
    c: &Call,
    signature: &Signature,
    span: Span,
) -> Option<Expr> {
    let (args, strictness) = match c.args.as_slice() {
        [text, Arg::Value(how)] => {
            let word = match &how.kind {
                ast::ExprKind::Path(path) => path.text(),
                _ => String::new(),
            };
            let Some(strictness) = Strictness::from_word(&word) else {
                let message = format!("`template` is `strict` or `loose`, not `{}`", wording::text(how));
                return cx.fail(wrong(signature, how.span, message));
            };
            (vec![text.clone()], strictness)
        }
        args => (args.to_vec(), Strictness::Strict),
    };
    let operand = one(cx, scope, &Call { args, ..c.clone() }, signature, span)?;
    if let ExprKind::Field(id) = operand.kind
        && operand.ty == Type::String
        && FIELDS.get(usize::from(id.0)).is_some_and(|f| f.privacy == Privacy::Content)
    {
        let ty = Type::List(Box::new(Type::Fingerprint));
        return Some(node(ty, ExprKind::Template(id, strictness), span));
    }
    let message = "`template` takes a field of what was said: `prompt`, `system_prompt` or `completion`".to_string();
    cx.fail(wrong(signature, operand.span, message))
}
