//! What `verify` says beyond seals: the journal against the position that the log seals, and each finding against what comes
//! out when it is computed again.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};

use crate::cli::progress::Progress;
use crate::cli::run::beside;
use crate::cli::terminal::{grouped, printable};
use crate::cli::violations::Log;
use crate::derive::{Difference, Verdict, WHOLE};
use crate::journal::{self, Checked, Position};
use crate::runtime::live::{
    Again, AgainError, Asked, Held, KeptPacks, RecordHash, SealedFinding, SealedPacks, again, hold,
};
use crate::store::{Sealed, Verified};
use crate::template::FingerprintKey;

/// Characters of a value that are shown.
const SHOWN_CHARS: usize = 120;
/// Differences that are shown of one finding.
const DIFFERENCES_SHOWN: usize = 4;

/// What was derived.
pub(super) struct Derived {
    /// The journal, as far as it was held against the log.
    journal: Result<Checked, Unheld>,
    findings: Result<(Held, Again), String>,
    /// Packs that are not what is sealed.
    altered: BTreeMap<String, String>,
    n_findings: u64,
}

/// Why the journal was not held against the log.
enum Unheld {
    /// There is none, or it is not here.
    Missing(String),
    /// It is not what the log seals.
    Altered(String),
}

/// Holds the journal against the log, and computes findings again where `recompute` is asked for and it can be.
pub(super) fn derive(
    log: &Log,
    db: &Path,
    verified: &Verified,
    key: FingerprintKey,
    recompute: bool,
) -> anyhow::Result<Derived> {
    let n_findings = verified.findings.len() as u64;
    let dir = beside(db, ".journal");
    let none =
        |journal, why: &str| Derived { journal, findings: Err(why.to_string()), altered: BTreeMap::new(), n_findings };
    let Some(position) = verified.journal.as_deref() else {
        let why = "the log keeps no journal of what its rules read";
        return Ok(none(Err(Unheld::Missing(why.to_string())), why));
    };
    let Ok(position) = position.parse::<Position>() else {
        let why = "the position of the journal that the log names cannot be read";
        return Ok(none(Err(Unheld::Altered(why.to_string())), why));
    };
    if !dir.is_dir() {
        let why = format!("the journal `{}` is not there", dir.display());
        return Ok(none(Err(Unheld::Missing(why.clone())), &why));
    }
    let mut progress = Progress::new(None);
    let checked = match journal::check(&dir, &position, &mut |bytes| progress.update(bytes, 0)) {
        Ok(checked) => checked,
        Err(_) if log.wait(log.store.journal_position())? != verified.journal => {
            progress.finish();
            let why = "the log was written meanwhile: verify it again, or a copy";
            return Ok(none(Err(Unheld::Missing(why.to_string())), why));
        }
        Err(e) => {
            progress.finish();
            return Ok(none(Err(Unheld::Altered(e.to_string())), "the journal is not what the log seals"));
        }
    };
    if !recompute {
        progress.finish();
        return Ok(none(Ok(checked), "not computed again (--no-recompute)"));
    }
    let sealed: Vec<_> = verified.in_force.iter().map(|f| f.pins.clone()).collect();
    let packs = SealedPacks::new(KeptPacks::new(beside(db, ".rules"), key), sealed);
    let findings = recomputed(log, &dir, &position, verified, &packs, &mut progress);
    progress.finish();
    let findings = match findings? {
        // A log that is written meanwhile has another journal by now.
        Err(_) if log.wait(log.store.journal_position())? != verified.journal => {
            Err(AgainError::Unknown("the log was written meanwhile: verify it again, or a copy".to_string()))
        }
        findings => findings,
    };
    let (journal, findings) = match findings {
        Ok(found) => (Ok(checked), Ok(found)),
        Err(AgainError::Unknown(why)) => (Ok(checked), Err(why)),
        Err(AgainError::Altered(what)) => (Err(Unheld::Altered(what.clone())), Err(what)),
    };
    Ok(Derived { journal, findings, altered: packs.altered(), n_findings })
}

type Found = Result<(Held, Again), AgainError>;

fn recomputed(
    log: &Log,
    dir: &Path,
    position: &Position,
    verified: &Verified,
    packs: &SealedPacks,
    progress: &mut Progress,
) -> anyhow::Result<Found> {
    let touched = verified.erasures.iter().flat_map(|e| &e.touched).filter(|t| t.kind == Sealed::Violation);
    let touched: BTreeSet<&str> = touched.map(|t| t.subject.as_str()).collect();
    let of = |(id, (hash, entry)): (&String, &(RecordHash, u64))| {
        (id.clone(), SealedFinding { hash: *hash, entry: *entry, is_touched: touched.contains(id.as_str()) })
    };
    let sealed: BTreeMap<String, SealedFinding> = verified.findings.iter().map(of).collect();
    let forgotten = verified.in_force.iter().filter(|f| f.is_reset).filter_map(|f| f.entry).max();
    let hash_of = |id: &str| verified.findings.get(id).map(|(hash, _)| *hash);
    let mut record = |id: &str| log.wait(log.store.get(id)).ok().flatten().map(|row| row.record);
    // What followed from ends of files after which they went on costs a copy of the state each, and shows in few records:
    // it is computed where something differs otherwise.
    let mut held = None;
    for each_end in [false, true] {
        let mut tell = |records: u64| progress.update(0, records);
        let mut asked = Asked { sealed: &hash_of, each_end, progress: &mut tell };
        let again = match again(dir, position, packs, &mut asked) {
            Ok(again) => again,
            Err(e) => return Ok(Err(e)),
        };
        let now = hold(&sealed, &again, forgotten, &mut record);
        let is_sound = now.differ.is_empty() && now.dropped.is_empty();
        let ends = again.ends;
        held = Some((now, again));
        if is_sound || ends == 0 {
            break;
        }
    }
    Ok(held.ok_or_else(|| AgainError::Unknown("nothing was run over".to_string())))
}

impl Derived {
    /// Adds what does not hold.
    pub(super) fn tell(&self, verified: &mut Verified) {
        if let Err(Unheld::Altered(what)) = &self.journal {
            verified.problem("journal", what.clone());
        }
        for (bundle, what) in &self.altered {
            verified.problem(format!("rules {bundle}"), what.clone());
        }
        let Ok((held, _)) = &self.findings else { return };
        for told in &held.differ {
            let Verdict::Differs(differences) = &told.verdict else { continue };
            verified.problem(format!("violation {}", told.id), differs(differences));
        }
        for (id, rule) in &held.dropped {
            let found = format!("comes out of the journal under rule `{rule}`, and is not in the log");
            verified.problem(format!("violation {id}"), found);
        }
    }

    pub(super) fn journal_json(&self) -> Value {
        match &self.journal {
            Ok(c) => json!({
                "holds": true, "records": c.records, "records_dropped": c.records_before, "bytes": c.bytes,
                "first_segment": c.first_segment,
            }),
            Err(Unheld::Missing(why)) => json!({ "holds": null, "why": why }),
            Err(Unheld::Altered(what)) => json!({ "holds": false, "why": what }),
        }
    }

    pub(super) fn json(&self) -> Value {
        let (held, again) = match &self.findings {
            Ok(found) => found,
            Err(why) => {
                return json!({
                    "recomputed": false, "why_not": why, "re_derived": 0, "differ": 0, "dropped": 0, "erased": 0,
                    "consistent_only": self.n_findings, "told": [],
                });
            }
        };
        let told = held.told.iter().map(|(id, verdict)| match verdict {
            Verdict::ReDerived => json!({ "id": id, "status": "re-derived" }),
            Verdict::ConsistentOnly(why) => json!({ "id": id, "status": "consistent only", "why": why }),
            Verdict::Erased => json!({ "id": id, "status": "erased" }),
            Verdict::Differs(differ) => json!({ "id": id, "status": "differs", "differs": differ.iter().map(|d| json!({
                "field": d.field, "sealed": d.sealed, "comes_out": d.comes_out,
            })).collect::<Vec<_>>() }),
        });
        json!({
            "recomputed": true,
            "records": again.records,
            "rule_sets": again.bundles,
            "re_derived": held.re_derived,
            "but_for_delays": held.but_for_delays,
            "differ": held.differ.len(),
            "dropped": held.dropped.iter().map(|(id, rule)| json!({ "id": id, "rule": rule })).collect::<Vec<_>>(),
            "erased": held.erased,
            "consistent_only": held.consistent_only.values().sum::<u64>(),
            "reasons": held.consistent_only,
            // Each that is not re-derived; all others are.
            "told": told.collect::<Vec<_>>(),
        })
    }

    pub(super) fn text(&self, out: &mut impl Write) -> std::io::Result<()> {
        match &self.journal {
            Ok(c) => {
                let dropped = match c.records_before {
                    0 => String::new(),
                    n => format!(", {} before them were dropped by retention", grouped(n)),
                };
                writeln!(out, "journal: {} records as the log seals them{dropped}", grouped(c.records))?;
            }
            Err(Unheld::Missing(why)) => writeln!(out, "journal: not held against the log: {}", printable(why))?,
            Err(Unheld::Altered(_)) => {}
        }
        let (held, again) = match &self.findings {
            Ok(found) => found,
            Err(_) if self.n_findings == 0 => return Ok(()),
            Err(why) => {
                return writeln!(
                    out,
                    "consistent only: all {} violations; {}",
                    grouped(self.n_findings),
                    printable(why)
                );
            }
        };
        let sets = again.bundles.len();
        writeln!(
            out,
            "re-derived: {} of {} violations, from {} records of the journal under {sets} rule {}",
            grouped(held.re_derived),
            grouped(self.n_findings),
            grouped(again.records),
            if sets == 1 { "set" } else { "sets" },
        )?;
        if held.but_for_delays > 0 {
            writeln!(
                out,
                "  of {} all but the delays of actions, which are drawn from a secret",
                grouped(held.but_for_delays)
            )?;
        }
        for (why, n) in &held.consistent_only {
            writeln!(out, "consistent only: {}; {}", grouped(*n), printable(why))?;
        }
        if held.erased > 0 {
            writeln!(out, "erased: {} rest on events that were erased by right", grouped(held.erased))?;
        }
        Ok(())
    }
}

fn differs(differences: &[Difference]) -> String {
    match differences {
        [Difference { field, comes_out: None, .. }] if field == WHOLE => {
            return "does not come out of the journal: the events do not bear it out".to_string();
        }
        [Difference { field, .. }] if field == WHOLE => return "comes out of the journal otherwise".to_string(),
        _ => {}
    }
    let shown = |value: &Option<Value>| match value {
        None => "nothing".to_string(),
        Some(value) => {
            let text = value.to_string();
            match text.char_indices().nth(SHOWN_CHARS) {
                Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
                None => text,
            }
        }
    };
    let each = differences.iter().take(DIFFERENCES_SHOWN);
    let each: Vec<String> = each
        .map(|d| format!("`{}` is sealed as {}, comes out as {}", d.field, shown(&d.sealed), shown(&d.comes_out)))
        .collect();
    let more = differences.len().saturating_sub(DIFFERENCES_SHOWN);
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    format!("comes out of the journal otherwise: {}{more}", each.join("; "))
}
