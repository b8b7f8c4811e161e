//! The journaled events that one finding needs to be computed again, as a file of their own.
//!
//! JSON lines. The first is the head:
//!
//! ```text
//! {"fineprint_slice":1,"violation":ID,"rule":NAME,"bundle":HASH,"until":TIME,"ended":BOOL,"journal":POSITION,"records":N}
//! ```
//!
//! `bundle` is the hash of the pack that wrote the journal, `until` up to when time had gone when the finding was sealed
//! (nanoseconds since 1970), `ended` whether the input had ended there, `journal` the position that the log seals. Each further
//! line is a record of the journal in order of (time, id): its place among all records of the journal, from 0, the segment
//! it lies in, and its bytes in hex:
//!
//! ```text
//! {"at":N,"segment":N,"record":HEX}
//! ```
//!
//! That these are the records of the journal at those places is attested by who made the slice: the hash that the log seals is
//! over whole segments. What is tied to the sealed record is which events counted: `evidence.root` is a Merkle root over their
//! ids and contents.

use std::sync::Arc;

use serde_json::{Value, json};

use super::again::{Actions, Difference, Verdict, WHOLE, differences};
use super::variant::{alone, not_derivable};
use crate::eval::{EvalOptions, Evaluator, Origin, Recalled, TestNames};
use crate::hir::{Rule, rule_hash};
use crate::plan::RuleSet;
use crate::time::{Duration, Timestamp};
use crate::violation::{Violation, to_json};

/// Most records of a slice.
pub const SLICE_RECORDS_MAX: usize = 100_000;
/// Most bytes of the records of a slice.
pub const SLICE_BYTES_MAX: usize = 16 << 20;

/// The events of one finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    /// The finding.
    pub violation: String,
    /// Its rule.
    pub rule: String,
    /// The pack that wrote the journal.
    pub bundle: String,
    /// Up to when time had gone.
    pub until: Timestamp,
    /// Whether the input had ended there.
    pub ended: bool,
    /// The position of the journal that the log seals, in the journal's own words.
    pub journal: String,
    /// In order of (time, id).
    pub records: Vec<SliceRecord>,
}

/// A record of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SliceRecord {
    /// Its place among all records, from 0, those of dropped segments counted.
    pub at: u64,
    /// Segment that holds it.
    pub segment: u64,
    /// Its bytes: a projection.
    pub record: Vec<u8>,
}

/// Version of the form.
const FORM: u64 = 1;

/// Computes a finding again from its slice, under the pack that wrote the journal, and holds it against its sealed record.
/// Actions are not compared: they depend on what other findings spent.
pub fn recompute(slice: &Slice, rules: &Arc<RuleSet>, record: &str) -> Verdict {
    let unknown = |why: &str| Verdict::ConsistentOnly(why.to_string());
    let Ok(sealed) = serde_json::from_str::<Value>(record) else { return unknown("the record is no JSON") };
    if sealed.get("erased").is_some() {
        return Verdict::Erased;
    }
    let text = |key: &str| sealed.get(key).and_then(Value::as_str).unwrap_or_default();
    if text("id") != slice.violation || text("rule") != slice.rule {
        return unknown("the slice is that of another finding");
    }
    if rules.bundle_hash() != slice.bundle {
        return unknown("the pack is not the one that wrote the journal, or the key of fingerprints is another");
    }
    let Some(rule) = rules.program().rules.iter().find(|r| r.name == slice.rule) else {
        return unknown("the pack has no such rule");
    };
    if let Some(field) = not_derivable(rules.program(), rule) {
        return unknown(&format!("its rule uses the text of `{field}` itself, which a journal does not keep"));
    }
    let hash = rule_hash(rules.program(), rule);
    if hash != text("rule_hash") {
        let (sealed, comes_out) = (sealed.get("rule_hash").cloned(), Some(Value::String(hash)));
        return Verdict::Differs(vec![Difference { field: "rule_hash".to_string(), sealed, comes_out }]);
    }
    let mut events = Vec::with_capacity(slice.records.len());
    for record in &slice.records {
        match Recalled::read(&record.record) {
            Ok(event) => events.push(event),
            Err(why) => return Verdict::ConsistentOnly(why),
        }
    }
    let states = match found(rules, rule, &events, slice.until, slice.ended) {
        Ok(states) => states,
        Err(why) => return Verdict::ConsistentOnly(why),
    };
    let own = states.iter().filter(|v| v.id == slice.violation);
    let nearest = own.map(|v| differences(&sealed, &to_json(v), Actions::Not)).min_by_key(Vec::len);
    match nearest {
        Some(differ) if differ.is_empty() => Verdict::ReDerived,
        Some(differ) => Verdict::Differs(differ),
        None => {
            let sealed = Some(Value::String(format!("a finding of `{}`", slice.rule)));
            Verdict::Differs(vec![Difference { field: WHOLE.to_string(), sealed, comes_out: None }])
        }
    }
}

/// What a rule finds in events in order of (time, id): its findings in their last states before the end, and at it.
fn found(
    rules: &RuleSet,
    rule: &Rule,
    events: &[Recalled],
    until: Timestamp,
    ended: bool,
) -> Result<Vec<Violation>, String> {
    let alone = alone(rules, vec![rule.clone()]).map_err(|e| e.to_string())?;
    let names = TestNames::between(rules, &alone);
    // In order: nothing comes late.
    let options = EvalOptions { lateness: Duration(0), ..EvalOptions::default() };
    let mut evaluator = Evaluator::new(Arc::new(alone), options);
    for (line, event) in (0u64..).zip(events) {
        evaluator.observe_recalled(event, &names, Origin { input: 0, line });
    }
    evaluator.advance(until);
    let mut states = super::last_states(evaluator.take_violations(), Vec::new());
    if ended {
        evaluator.finish();
        states.extend(evaluator.take_violations());
    }
    Ok(states)
}

impl Slice {
    /// As a file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let head = json!({
            "fineprint_slice": FORM, "violation": self.violation, "rule": self.rule, "bundle": self.bundle,
            "until": self.until.0, "ended": self.ended, "journal": self.journal, "records": self.records.len(),
        });
        let mut out = format!("{head}\n");
        for r in &self.records {
            let record = hex::encode(&r.record);
            out.push_str(&json!({ "at": r.at, "segment": r.segment, "record": record }).to_string());
            out.push('\n');
        }
        out.into_bytes()
    }

    /// Reads a file.
    ///
    /// # Errors
    /// A text that says what is wrong with it, and in which line.
    pub fn parse(bytes: &[u8]) -> Result<Slice, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "the slice is not UTF-8".to_string())?;
        let mut lines = (1u64..).zip(text.lines());
        let head = lines.next().map(|(_, line)| line).ok_or("the slice is empty")?;
        let head: Value = serde_json::from_str(head).map_err(|e| format!("line 1 is no JSON: {e}"))?;
        match head.get("fineprint_slice").and_then(Value::as_u64) {
            Some(FORM) => {}
            Some(other) => return Err(format!("the slice has form {other}, this program reads form {FORM}")),
            None => return Err("line 1 is not the head of a slice: it says no `fineprint_slice`".to_string()),
        }
        let missing = |key: &str| format!("line 1 says no `{key}`");
        let text = |key: &str| head.get(key).and_then(Value::as_str).map(str::to_string).ok_or_else(|| missing(key));
        let number = head.get("records").and_then(Value::as_u64).ok_or_else(|| missing("records"))?;
        let mut slice = Slice {
            violation: text("violation")?,
            rule: text("rule")?,
            bundle: text("bundle")?,
            until: Timestamp(head.get("until").and_then(Value::as_i64).ok_or_else(|| missing("until"))?),
            ended: head.get("ended").and_then(Value::as_bool).ok_or_else(|| missing("ended"))?,
            journal: text("journal")?,
            records: Vec::new(),
        };
        let mut bytes = 0;
        for (n, line) in lines {
            let record: Value = serde_json::from_str(line).map_err(|e| format!("line {n} is no JSON: {e}"))?;
            let wrong = || format!("line {n} is no record of a journal: it has `at`, `segment` and `record` in hex");
            let get = |key: &str| record.get(key).and_then(Value::as_u64).ok_or_else(wrong);
            let hex = record
                .get("record")
                .and_then(Value::as_str)
                .and_then(|text| hex::decode(text).ok())
                .ok_or_else(wrong)?;
            bytes += hex.len();
            if slice.records.len() >= SLICE_RECORDS_MAX || bytes > SLICE_BYTES_MAX {
                return Err(format!(
                    "line {n}: a slice holds at most {SLICE_RECORDS_MAX} records of {SLICE_BYTES_MAX} bytes"
                ));
            }
            slice.records.push(SliceRecord { at: get("at")?, segment: get("segment")?, record: hex });
        }
        if slice.records.len() as u64 != number {
            return Err(format!("the slice has {} records, its head says {number}", slice.records.len()));
        }
        Ok(slice)
    }
}

#[cfg(test)]
mod tests {
    use super::{Slice, SliceRecord};
    use crate::time::Timestamp;

    fn slice() -> Slice {
        let record = SliceRecord { at: 7, segment: 1, record: vec![0, 0xab, 0xff] };
        let text = str::to_string;
        Slice {
            violation: text("00ff"),
            rule: text("many-calls"),
            bundle: text("aa"),
            until: Timestamp(-5),
            ended: true,
            journal: text("1:2:3:ff"),
            records: vec![record.clone(), SliceRecord { at: 9, ..record }],
        }
    }

    #[test]
    fn a_slice_reads_as_it_was_written() {
        assert_eq!(Slice::parse(&slice().to_bytes()), Ok(slice()));
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said() {
        let whole = String::from_utf8(slice().to_bytes()).unwrap();
        for (bytes, says) in [
            (String::new(), "is empty"),
            ("no JSON".to_string(), "line 1 is no JSON"),
            ("{}".to_string(), "no `fineprint_slice`"),
            (whole.replace("_slice\":1", "_slice\":2"), "has form 2, this program reads form 1"),
            (whole.replace("\"until\":-5", "\"until\":null"), "line 1 says no `until`"),
            (whole.replace("00abff\"}\n{", "0abff\"}\n{"), "line 2 is no record"),
            (whole.replacen("00abff", "00ab\u{e9}", 1), "line 2 is no record"),
            (whole.replacen("\"segment\":1", "\"segment\":-1", 1), "line 2 is no record"),
            (format!("{whole}{{"), "line 4 is no JSON"),
            (whole.replace("\"records\":2", "\"records\":3"), "has 2 records, its head says 3"),
        ] {
            let why = Slice::parse(bytes.as_bytes()).unwrap_err();
            assert!(why.contains(says), "{says}: {why}");
        }
        assert!(Slice::parse(&[0xff, 0xfe]).unwrap_err().contains("UTF-8"));
    }
}
