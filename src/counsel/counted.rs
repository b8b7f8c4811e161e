//! What is counted over a window, in English. Every aggregate has its words here.

use super::say::percent;
use super::speech::Speech;
use crate::hir::{Aggregate, Function};

impl Speech<'_> {
    /// What an aggregate counts.
    pub(super) fn counted(&mut self, a: &Aggregate) -> String {
        let wording = a.function.arguments().first().filter(|e| e.is_template());
        let what = match &a.function {
            Function::Count => "the number of events".to_string(),
            Function::Sum(e) => format!("the sum of the {}", self.noun(e)),
            Function::Min(e) => format!("the least {}", self.noun(e)),
            Function::Max(e) => format!("the greatest {}", self.noun(e)),
            Function::Average(e) => format!("the average of the {}", self.noun(e)),
            function if wording.is_some() => {
                let by = wording.map(|of| self.noun(of)).unwrap_or_default();
                match function {
                    Function::TopShare(_, 1) => format!("the share of the commonest wording, by the {by}"),
                    Function::TopShare(_, n) => format!("the share of the {n} commonest wordings, by the {by}"),
                    Function::Entropy(_) => format!("how mixed the wordings are, in bits, by the {by}"),
                    _ => format!("the number of different wordings, by the {by}"),
                }
            }
            Function::Distinct { of, one_per } => {
                let of: Vec<String> = of.iter().map(|e| self.noun(e)).collect();
                let of = format!("the number of different values of the {}", of.join(" together with the "));
                match one_per {
                    None => of,
                    Some((key, None)) => format!("{of}, where all of one {} count as one", self.noun(key)),
                    Some((key, Some(condition))) => {
                        let key = self.noun(key);
                        format!("{of}, where all of one {key} count as one if {}", self.condition(condition, true))
                    }
                }
            }
            Function::Share(e) => format!("the share of events for which it is true that {}", self.condition(e, true)),
            Function::Quantile(e, share) => {
                format!("the {} that {} of the events do not exceed", self.noun(e), percent(*share))
            }
            Function::Spread(e) => format!("the spread of the {} (standard deviation by mean)", self.noun(e)),
            Function::TopShare(e, 1) => format!("the share of the commonest {}", self.noun(e)),
            Function::TopShare(e, n) => format!("the share of the {n} commonest values of the {}", self.noun(e)),
            Function::Entropy(e) => format!("how mixed the values of the {} are, in bits", self.noun(e)),
            Function::First(e) => format!("the earliest {}", self.noun(e)),
            Function::Last(e) => format!("the latest {}", self.noun(e)),
            Function::Rate => "the number of events per minute".to_string(),
            Function::LongestIdle => "the longest time without an event".to_string(),
            Function::TopSpeed(e) => {
                format!("the greatest speed, in km/h, from one {} to the next", self.noun(e))
            }
            Function::Baseline(b) => {
                let of = self.value(&b.of);
                let which = if b.share == 500_000 {
                    "the median".to_string()
                } else {
                    format!("the value that {} do not exceed", percent(b.share))
                };
                let by: Vec<String> = b.by().iter().map(|e| self.value(e)).collect();
                let whose = match by.is_empty() {
                    true => format!("of the group itself over the {} windows before", b.windows),
                    false => {
                        format!("of groups alike (by {}) over the {} windows before", by.join(" and "), b.windows)
                    }
                };
                format!("{which} of {of} {whose}")
            }
        };
        match &a.filter {
            None => what,
            Some(f) => format!("{what}, counting only events for which {}", self.condition(f, true)),
        }
    }
}
