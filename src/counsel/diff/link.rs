//! What a changed link means for who belongs together. Larger groups reach more bounds, but they also make one group of two:
//! what ties more is called wider.

use super::{Change, Effect};
use crate::counsel::say::span;
use crate::hir::{Family, Link, Program, canonical_link};

pub(super) fn diff(old: (&Program, &Link), new: (&Program, &Link), out: &mut Vec<Change>) {
    let ((before, a), (after, b)) = (old, new);
    if canonical_link(before, a) == canonical_link(after, b) {
        return;
    }
    let told = out.len();
    let name = &b.name;
    if a.name != b.name {
        let what = format!("Accounts belong together by {name}, before by {}", a.name);
        return out.push(Change::new(Effect::Unclear, what));
    }
    if a.needs != b.needs {
        let effect = if b.needs < a.needs { Effect::Wider } else { Effect::Narrower };
        let what = format!("By {name}, values of at least {} families tie two accounts, before {}", b.needs, a.needs);
        out.push(Change::new(effect, what));
    }
    for family in &b.families {
        match a.families.iter().find(|f| f.name == family.name) {
            Some(was) => changed((before, was), (after, family), name, out),
            None => {
                let what = format!("By {name}, accounts are now also tied by {}", family.name);
                out.push(Change::new(Effect::Wider, what));
            }
        }
    }
    for family in a.families.iter().filter(|f| b.families.iter().all(|g| g.name != f.name)) {
        let what = format!("By {name}, accounts are no longer tied by {}", family.name);
        out.push(Change::new(Effect::Narrower, what));
    }
    if out.len() == told {
        out.push(Change::new(Effect::Unclear, format!("{name} ties by the same, in another way")));
    }
}

fn changed(old: (&Program, &Family), new: (&Program, &Family), link: &str, out: &mut Vec<Change>) {
    let ((before, a), (after, b)) = (old, new);
    let mut moved = |wider: bool, what: String| {
        let effect = if wider { Effect::Wider } else { Effect::Narrower };
        out.push(Change::new(effect, format!("By {link}, {what}")));
    };
    let name = &b.name;
    if a.within != b.within {
        let what = format!("a value of {name} counts for {}, before for {}", span(b.within), span(a.within));
        moved(b.within > a.within, what);
    }
    if a.used != b.used {
        let what = format!("a value of {name} must be used {} times, before {}", b.used, a.used);
        moved(b.used < a.used, what);
    }
    if a.cap != b.cap {
        let what = format!("a value of {name} ties nobody above {} accounts, before above {}", b.cap, a.cap);
        moved(b.cap > a.cap, what);
    }
    let lists = |program: &Program, f: &Family| -> Vec<String> {
        f.ignoring.iter().filter_map(|l| program.lists.get(l.0 as usize)).map(|l| l.name.clone()).collect()
    };
    let (was, is) = (lists(before, a), lists(after, b));
    for list in is.iter().filter(|l| !was.contains(l)) {
        moved(false, format!("values of {name} in the list {list} now tie nobody"));
    }
    for list in was.iter().filter(|l| !is.contains(l)) {
        moved(true, format!("values of {name} in the list {list} may tie again"));
    }
}
