//! The record of a violation of a rule that groups by a link.

use crate::eval::finding::{Subject, considered, estimate, id, observed};
use crate::eval::window::{Bench, LinkedEpisode, MergedInto};
use crate::plan::link::LinkPlan;
use crate::plan::rule::WindowPlan;
use crate::time::Timestamp;
use crate::violation::{Evidence, LinkEdge, LinkEvidence, Merged, Observed, Status, Violation};

/// An episode and what is to be told of it.
#[derive(Clone, Copy)]
pub(super) struct Told<'a> {
    /// By what its group is known.
    pub(super) name: &'a str,
    pub(super) episode: &'a LinkedEpisode,
    /// What it has gathered; the same for each rule of the definition.
    pub(super) evidence: &'a Evidence,
    pub(super) exempted: bool,
    /// The step at which it ended.
    pub(super) closed: Option<i64>,
}

impl Subject<'_> {
    /// The violation of an episode of a group.
    pub(super) fn linked(&self, w: &WindowPlan, link: &LinkPlan, told: Told<'_>, bench: &Bench<'_>) -> Violation {
        let Told { name, episode: e, evidence, exempted, closed } = told;
        let end = |step: i64| Timestamp(step.saturating_mul(w.step));
        let episode = &e.episode;
        let mut v = self.record(self.linked_id(w, name, episode.first), end(episode.first));
        v.updated_at = end(episode.last);
        v.closed_at = closed.map(end);
        v.status = match (exempted, closed) {
            (true, _) => Status::Exempted,
            (false, Some(_)) => Status::Closed,
            (false, None) => Status::Open,
        };
        v.window = Some((episode.began, v.opened_at));
        v.group = vec![(link.name.clone(), name.to_string())];
        let text = |symbol: u64| String::from_utf8_lossy(bench.interner.get(symbol)).into_owned();
        v.accounts = e.members.iter().map(|a| text(*a)).collect();
        v.accounts.sort();
        v.values = w
            .values
            .iter()
            .zip(&episode.tracks)
            .map(|(p, t)| Observed {
                estimates: t.estimates.iter().filter_map(|(i, bound)| estimate(w, *i, *bound)).collect(),
                ..observed(p, t.crossing.clone(), t.peak.clone(), t.last.clone())
            })
            .collect();
        v.evidence = evidence.clone();
        v.evidence.state_cut_at = episode.cut.map(Timestamp);
        let family = |n: u8| link.families.get(usize::from(n)).map_or_else(String::new, |f| f.name.clone());
        let edges = e.edges.iter().map(|tie| LinkEdge {
            family: family(tie.family),
            value: tie.value.clone(),
            account: text(tie.account),
            popularity: tie.popularity,
            uses: tie.uses,
            first_seen: Timestamp(tie.first),
            last_seen: Timestamp(tie.last),
        });
        v.link = Some(Box::new(LinkEvidence {
            name: link.name.clone(),
            needs: link.needs,
            edges: edges.collect(),
            n_edges: e.edges_in_all(),
            cut_since: None,
            merged_into: None,
        }));
        v.exceptions = considered(self.rule, &episode.took_out);
        v.because = episode.because.clone();
        v
    }

    /// Says of a violation that its group became part of another.
    pub(super) fn became_part(&self, w: &WindowPlan, v: &mut Violation, into: &MergedInto, exempted: bool) {
        let violation = into.first.map(|first| self.linked_id(w, &into.group, first));
        if !exempted {
            v.status = Status::Merged;
            v.merged_into.clone_from(&violation);
        }
        if let Some(link) = &mut v.link {
            link.merged_into = Some(Merged { group: into.group.clone(), violation });
        }
    }

    fn linked_id(&self, w: &WindowPlan, name: &str, first: i64) -> String {
        let first = first.saturating_mul(w.step).to_string();
        id(&[&self.rule.name, &self.plan.hash, name, &first])
    }
}
