//! The record of a violation of a rule on sequences.

use super::found::Found;
use crate::eval::finding::{Subject, considered, id, observed};
use crate::eval::intern::Interner;
use crate::eval::route::word_text;
use crate::plan::rule::Key;
use crate::plan::sequence::SequencePlan;
use crate::time::Timestamp;
use crate::value::Type;
use crate::violation::{Bound, Estimate, Observed, Scalar, Status, Violation};

impl Subject<'_> {
    /// The violation of matches that follow each other; `closed` is the end of the silence after the last.
    pub(crate) fn sequence(
        &self,
        s: &SequencePlan,
        key: &Key,
        found: &Found,
        exempted: bool,
        closed: Option<i64>,
        interner: &Interner,
    ) -> Violation {
        let parts = s.per.iter().zip(key);
        let group: Vec<(String, String)> =
            parts.map(|(part, word)| (part.name.clone(), word_text(*word, &part.ty, interner))).collect();
        let first = found.first.to_string();
        let mut parts = vec![self.rule.name.as_str(), self.plan.hash.as_str()];
        parts.extend(group.iter().map(|(_, value)| value.as_str()));
        parts.push(&first);
        // With an exception and without it, matches may be whole at the same moment: these are two findings.
        parts.extend(exempted.then_some("exempted"));
        let mut v = self.record(id(&parts), Timestamp(found.first));
        v.updated_at = Timestamp(found.last);
        v.closed_at = closed.map(Timestamp);
        v.status = match (exempted, closed) {
            (true, _) => Status::Exempted,
            (false, Some(_)) => Status::Closed,
            (false, None) => Status::Open,
        };
        v.group = group;
        let gathered = found.gathered();
        let accounts = gathered.accounts.iter().map(|a| String::from_utf8_lossy(interner.get(*a)).into_owned());
        v.accounts = accounts.collect();
        v.accounts.sort();
        v.values.push(counted("matches", found.at_first, found.matches, found.dropped == 0));
        v.values.extend(
            s.values
                .iter()
                .zip(&found.tracks)
                .map(|(p, t)| observed(p, t.crossing.clone(), t.peak.clone(), t.last.clone())),
        );
        if found.dropped > 0 {
            v.values.push(counted("partial_matches_dropped", found.dropped, found.dropped, true));
        }
        v.evidence = gathered.evidence();
        v.exceptions = considered(self.rule, &found.took_out);
        v.because = found.because.clone();
        v
    }
}

fn counted(name: &str, first: u64, last: u64, exact: bool) -> Observed {
    let number = |n: u64| Some(Scalar::Num(i64::try_from(n).unwrap_or(i64::MAX)));
    Observed {
        name: name.to_string(),
        ty: Type::Integer,
        crossing: number(first),
        peak: number(last),
        last: number(last),
        threshold: None,
        // Dropped partial matches could have become more of them.
        estimates: if exact {
            Vec::new()
        } else {
            vec![Estimate { aggregate: name.to_string(), bound: Bound::AtLeast }]
        },
    }
}
