//! Links, ready to run: what ties is taken from each event as words, and groups are told at the steps of the rules.

use std::sync::Arc;

use super::lower::{Lower, WordId, is_symbol};
use super::scalar::Scalar;
use crate::event::FIELDS;
use crate::event::fields::Privacy;
use crate::hir::{Expr, ExprKind, Link, LinkId};
use crate::reference::ListData;
use crate::value::Type;

/// A link that some rule groups by.
#[derive(Debug)]
pub(crate) struct LinkPlan {
    pub(crate) id: LinkId,
    pub(crate) name: String,
    pub(crate) needs: u32,
    pub(crate) families: Vec<FamilyPlan>,
}

#[derive(Debug)]
pub(crate) struct FamilyPlan {
    pub(crate) name: String,
    /// Type of a value: of several, that of each.
    pub(crate) ty: Type,
    pub(crate) source: Source,
    /// Values that tie nobody.
    pub(crate) ignoring: Vec<Arc<ListData>>,
    /// In nanoseconds; a multiple of every step at which groups are told.
    pub(crate) within: i64,
    pub(crate) used: u64,
    pub(crate) cap: u32,
    /// Whether values come from personal data, so that records show a keyed hash of them.
    pub(crate) sealed: bool,
}

/// Where the values of an event come from.
#[derive(Debug)]
pub(crate) enum Source {
    One(WordId),
    Several(Scalar),
}

impl FamilyPlan {
    /// Whether its values are symbols.
    pub(crate) fn keeps_symbols(&self) -> bool {
        is_symbol(&self.ty) && !self.is_template()
    }

    /// Whether its values are template fingerprints, which are numbers.
    pub(crate) fn is_template(&self) -> bool {
        matches!(self.source, Source::Several(Scalar::Template(_)))
    }
}

/// The groups of a link as they are told at the steps of one length: rules of the same step share them, and no rule's
/// findings depend on another's step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ViewPlan {
    /// Index of the link.
    pub(crate) link: u32,
    /// In nanoseconds.
    pub(crate) step: i64,
}

/// The links that rules group by.
#[derive(Debug, Default)]
pub(crate) struct Links {
    pub(crate) all: Vec<LinkPlan>,
    pub(crate) views: Vec<ViewPlan>,
}

impl LinkPlan {
    fn new(cx: &mut Lower<'_>, id: LinkId, link: &Link) -> LinkPlan {
        let mut family = |f: &crate::hir::Family| {
            let (ty, source) = match &f.of.ty {
                Type::List(of) => ((**of).clone(), Source::Several(cx.scalar(&f.of))),
                ty => (ty.clone(), Source::One(cx.word(&f.of))),
            };
            FamilyPlan {
                name: f.name.clone(),
                ty,
                source,
                ignoring: f.ignoring.iter().map(|l| cx.list(*l)).collect(),
                within: f.within.0,
                used: f.used,
                cap: f.cap,
                sealed: is_personal(&f.of),
            }
        };
        let families = link.families.iter().map(&mut family).collect();
        LinkPlan { id, name: link.name.clone(), needs: link.needs, families }
    }
}

/// The number of the view of a link at a step.
pub(super) fn view(cx: &mut Lower<'_>, id: LinkId, step: i64) -> u32 {
    let known = cx.links.all.iter().position(|l| l.id == id);
    let link = match known {
        Some(at) => at,
        None => {
            let plan = cx.program.links.get(id.0 as usize).map(|link| LinkPlan::new(cx, id, link));
            cx.links.all.extend(plan);
            cx.links.all.len().saturating_sub(1)
        }
    };
    let wanted = ViewPlan { link: link as u32, step };
    let at = cx.links.views.iter().position(|v| *v == wanted).unwrap_or_else(|| {
        cx.links.views.push(wanted);
        cx.links.views.len() - 1
    });
    at as u32
}

/// Whether a value comes from a field of personal data.
fn is_personal(e: &Expr) -> bool {
    let mut found = false;
    e.walk(&mut |x| {
        if let ExprKind::Field(f) = &x.kind {
            found |= FIELDS.get(usize::from(f.0)).is_some_and(|f| f.privacy == Privacy::Personal);
        }
    });
    found
}
