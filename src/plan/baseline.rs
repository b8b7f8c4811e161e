//! Baselines, ready to run.

use super::lower::{Lower, is_symbol};
use super::rule::{AggregatePlan, Column, Fold};
use super::scalar::Scalar;
use crate::hir::{self, ExprKind, Whose};
use crate::value::Type;

#[derive(Debug)]
pub(crate) struct BaselinePlan {
    /// The value of a window.
    pub(crate) of: Scalar,
    /// The aggregates in it, as bits.
    pub(crate) made_of: u64,
    /// In millionths.
    pub(crate) share: i64,
    /// How many windows back.
    pub(crate) windows: i64,
    pub(crate) least: u64,
    pub(crate) whose: WhosePlan,
}

#[derive(Debug)]
pub(crate) enum WhosePlan {
    Own,
    /// Number of the cohorts of the rule, and the aggregates that hold the last known values by which groups are alike.
    Cohort {
        number: usize,
        by: Vec<(u16, Type)>,
    },
}

/// The baselines of a rule, each with the number of its aggregate.
#[derive(Debug, Default)]
pub(crate) struct Baselines {
    pub(crate) all: Vec<BaselinePlan>,
    /// The most windows that a group must keep of its own.
    pub(crate) kept: i64,
    pub(crate) cohorts: usize,
}

impl Baselines {
    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// How many windows back any of them looks.
    pub(crate) fn reach(&self) -> i64 {
        self.all.iter().map(|b| b.windows).max().unwrap_or(0)
    }

    /// Those of cohorts, by their number.
    pub(crate) fn of_cohorts(&self) -> impl Iterator<Item = (usize, &BaselinePlan, &[(u16, Type)])> {
        self.all.iter().filter_map(|b| match &b.whose {
            WhosePlan::Cohort { number, by } => Some((*number, b, by.as_slice())),
            WhosePlan::Own => None,
        })
    }

    /// Takes in a baseline; what it needs beside the rule's aggregates goes to `more`, numbered from `next` on.
    pub(crate) fn add(
        &mut self,
        cx: &mut Lower<'_>,
        b: &hir::Baseline,
        next: usize,
        input: &mut dyn FnMut(&mut Lower<'_>, &hir::Expr) -> u8,
        more: &mut Vec<AggregatePlan>,
    ) -> Fold {
        let whose = match &b.whose {
            Whose::Own => {
                self.kept = self.kept.max(i64::from(b.windows));
                WhosePlan::Own
            }
            Whose::Cohort(parts) => {
                let mut by = Vec::new();
                for e in parts {
                    let input = input(cx, e);
                    by.push(((next + more.len()) as u16, e.ty.clone()));
                    more.push(AggregatePlan {
                        fold: Fold::Last { symbols: is_symbol(&e.ty) },
                        ty: e.ty.clone(),
                        word: "last",
                        input,
                        filter: None,
                        column: Column::Own,
                        counts: false,
                        items: false,
                    });
                }
                self.cohorts += 1;
                WhosePlan::Cohort { number: self.cohorts - 1, by }
            }
        };
        let mut made_of = 0;
        b.of.walk(&mut |e| {
            if let ExprKind::Aggregate(i) = e.kind {
                made_of |= 1u64.checked_shl(u32::from(i)).unwrap_or(0);
            }
        });
        self.all.push(BaselinePlan {
            of: cx.scalar(&b.of),
            made_of,
            share: b.share,
            windows: i64::from(b.windows),
            least: u64::from(b.least),
            whose,
        });
        Fold::Baseline { number: (self.all.len() - 1) as u16 }
    }
}
