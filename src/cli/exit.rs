//! How the command ends: four numbers that scripts may rely on.

use std::process::{ExitCode, Termination};

/// How the command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It did what it was asked, and found nothing to object to.
    Fine = 0,
    /// It did what it was asked, and found something: violations, a test that fails, a file that is not formatted, rules that
    /// changed, a rule without a clause in force.
    Findings = 1,
    /// A rule, list or table is wrong.
    RuleError = 2,
    /// The call or its surroundings are wrong: a flag, a path, a database, a full disk.
    Usage = 3,
}

/// The same, for `--help`.
pub(super) const HELP: &str = "\
Exit codes:
  0  fine
  1  findings: violations (run), a test that fails (test), a file to be formatted (fmt --check),
     a change (policy diff), something that differs (replay), a rule without a clause in force (policy coverage),
     something that does not hold (verify)
  2  rule error: a rule file, list or table is wrong
  3  usage or environment error: a flag, a path, a database";

impl Termination for Exit {
    fn report(self) -> ExitCode {
        ExitCode::from(self as u8)
    }
}
