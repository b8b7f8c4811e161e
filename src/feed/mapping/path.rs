//! Paths into a record: keys with points between, indexes, and the element of a list that says something.

use std::fmt;

use super::rule::word;
use crate::event::json::Tree;

/// Keys and indexes that lead into a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FieldPath {
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
    Last,
    /// The first (or last) element of a list whose key has this value.
    Where {
        key: String,
        value: String,
        last: bool,
    },
}

impl Step {
    fn take<'t, 'a>(&self, tree: &'t Tree<'a>) -> Option<&'t Tree<'a>> {
        match (self, tree) {
            (Step::Key(key), tree) => tree.get(key),
            (Step::Index(at), Tree::List(list)) => list.get(*at),
            (Step::Last, Tree::List(list)) => list.last(),
            (Step::Where { key, value, last }, Tree::List(list)) => {
                let says = |item: &&Tree<'a>| item.get(key).and_then(word).is_some_and(|found| found == value.as_str());
                if *last { list.iter().rfind(says) } else { list.iter().find(says) }
            }
            _ => None,
        }
    }

    fn take_mut<'t, 'a>(&self, tree: &'t mut Tree<'a>) -> Option<&'t mut Tree<'a>> {
        match (self, tree) {
            (Step::Key(key), Tree::Object(entries)) => entries.iter_mut().find(|(k, _)| k == key).map(|(_, v)| v),
            (Step::Index(at), Tree::List(list)) => list.get_mut(*at),
            (Step::Last, Tree::List(list)) => list.last_mut(),
            (Step::Where { key, value, last }, Tree::List(list)) => {
                let says =
                    |item: &&mut Tree<'a>| item.get(key).and_then(word).is_some_and(|found| found == value.as_str());
                if *last { list.iter_mut().rfind(says) } else { list.iter_mut().find(says) }
            }
            _ => None,
        }
    }

    fn parse(inside: &str) -> Option<Step> {
        if inside == "last" {
            return Some(Step::Last);
        }
        let Some((key, value)) = inside.split_once('=') else { return inside.parse().ok().map(Step::Index) };
        let (key, last) = key.strip_prefix("last ").map_or((key, false), |key| (key, true));
        let plain = !key.is_empty() && !key.contains(['.', ' ', '"']) && !value.is_empty();
        plain.then(|| Step::Where { key: key.to_owned(), value: value.to_owned(), last })
    }
}

impl FieldPath {
    pub(super) fn follow<'t, 'a>(&self, record: &'t Tree<'a>) -> Option<&'t Tree<'a>> {
        self.steps.iter().try_fold(record, |tree, step| step.take(tree))
    }

    pub(super) fn follow_mut<'t, 'a>(&self, record: &'t mut Tree<'a>) -> Option<&'t mut Tree<'a>> {
        self.steps.iter().try_fold(record, |tree, step| step.take_mut(tree))
    }

    pub(super) fn parse(text: &str) -> Option<FieldPath> {
        let mut steps = Vec::new();
        let mut rest = text;
        loop {
            let key;
            (key, rest) = match rest.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"')?,
                None => rest.split_at(rest.find(['.', '[']).unwrap_or(rest.len())),
            };
            if key.is_empty() {
                return None;
            }
            steps.push(Step::Key(key.to_owned()));
            while let Some(inside) = rest.strip_prefix('[') {
                let step;
                (step, rest) = inside.split_once(']')?;
                steps.push(Step::parse(step)?);
            }
            if rest.is_empty() {
                return Some(FieldPath { steps });
            }
            rest = rest.strip_prefix('.')?;
        }
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.steps.iter().enumerate() {
            match step {
                Step::Key(key) if key.contains(['.', '[']) => write!(f, "{}\"{key}\"", if at > 0 { "." } else { "" })?,
                Step::Key(key) => write!(f, "{}{key}", if at > 0 { "." } else { "" })?,
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Last => f.write_str("[last]")?,
                Step::Where { key, value, last } => write!(f, "[{}{key}={value}]", if *last { "last " } else { "" })?,
            }
        }
        Ok(())
    }
}
