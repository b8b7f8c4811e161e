//! A finding held against what comes out when it is computed again.

use serde_json::Value;

/// What can be said of a sealed finding. Never more than was shown.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Computed again from journaled events and the rule text, and the same, byte for byte but for what [`differences`] names
    /// as not compared.
    ReDerived,
    /// Computed again, and not the same.
    Differs(Vec<Difference>),
    /// Not computed again; the reason. Its seal holds, and no more is known.
    ConsistentOnly(String),
    /// It rests on what was erased by right.
    Erased,
}

/// A part of a record that came out otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Which part, as a path: `accounts`, `values.total.crossing`. The record as a whole is [`WHOLE`].
    pub field: String,
    /// As it was sealed; `None` where there is nothing.
    pub sealed: Option<Value>,
    /// As it comes out; `None` where there is nothing.
    pub comes_out: Option<Value>,
}

/// In place of a part: the record as a whole.
pub const WHOLE: &str = "-";

/// Most differences that are named of one record.
pub const DIFFERENCES_MAX: usize = 20;

/// Which parts of the actions of a record are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actions {
    /// All: the secret of delays is known.
    Whole,
    /// All but the delays, which are drawn from a secret.
    NotDelays,
    /// None: they depend on what other findings spent of a budget.
    Not,
}

/// Where two records differ, the deepest parts that do, at most [`DIFFERENCES_MAX`].
pub fn differences(sealed: &Value, again: &Value, actions: Actions) -> Vec<Difference> {
    let mut found = Vec::new();
    let (sealed, again) = (without(sealed, actions), without(again, actions));
    walk("", Some(&sealed), Some(&again), &mut found);
    found
}

fn without(record: &Value, actions: Actions) -> Value {
    let mut record = record.clone();
    let Some(object) = record.as_object_mut() else { return record };
    match actions {
        Actions::Whole => {}
        Actions::Not => {
            object.remove("actions");
        }
        Actions::NotDelays => {
            for action in object.get_mut("actions").and_then(Value::as_array_mut).into_iter().flatten() {
                if let Some(action) = action.as_object_mut() {
                    action.remove("delay");
                }
            }
        }
    }
    record
}

fn walk(path: &str, sealed: Option<&Value>, again: Option<&Value>, found: &mut Vec<Difference>) {
    if sealed == again || found.len() >= DIFFERENCES_MAX {
        return;
    }
    if let (Some(Value::Object(a)), Some(Value::Object(b))) = (sealed, again) {
        let mut keys: Vec<&String> = a.keys().chain(b.keys().filter(|key| !a.contains_key(*key))).collect();
        keys.dedup();
        for key in keys {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            walk(&path, a.get(key), b.get(key), found);
        }
        return;
    }
    let field = if path.is_empty() { WHOLE.to_string() } else { path.to_string() };
    found.push(Difference { field, sealed: sealed.cloned(), comes_out: again.cloned() });
}
