//! Whom a rule's actions bear on no more, for answers that do not come from the table.

use super::{Caller, Scope, Table};

impl Table {
    /// Whether a person has taken a caller out of what a rule does.
    pub fn spares(&self, rule: &str, caller: Caller<'_>) -> bool {
        let Some(spared) = self.spared.get(rule) else { return false };
        let of =
            |scope: Scope, name: Option<&str>| name.is_some_and(|name| spared.contains(&(scope, name.to_string())));
        of(Scope::Account, caller.account) || of(Scope::Key, caller.key) || of(Scope::Org, caller.org)
    }
}
