-- Accounts that were forgotten: by whom, why, and what was touched; never which. `dir` says where the journal lies whose
-- segments are still to be put in place; `done` that nothing is left to be done.
CREATE TABLE erasures (
    number  INTEGER NOT NULL PRIMARY KEY,
    at      INTEGER NOT NULL,                                       -- nanoseconds since 1970
    name    TEXT    NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    reason  TEXT    NOT NULL CHECK (length(reason) BETWEEN 1 AND 2000),
    account TEXT    NOT NULL CHECK (length(account) = 64),          -- hash under a salt that is not kept
    touched TEXT    NOT NULL,                                       -- JSON: kind, subject, digest before, digest after
    journal TEXT    NOT NULL,                                       -- JSON: segment, hash before, hash after, records
    kept    TEXT    NOT NULL,                                       -- JSON: actions that stand as they were
    dir     TEXT,
    done    INTEGER NOT NULL CHECK (done IN (0, 1))
) STRICT;

CREATE TRIGGER erasures_are_not_changed BEFORE UPDATE ON erasures
WHEN OLD.done = 1
BEGIN SELECT RAISE(ABORT, 'erasures are not changed'); END;

CREATE TRIGGER erasures_are_not_removed BEFORE DELETE ON erasures
BEGIN SELECT RAISE(ABORT, 'erasures are not removed'); END;

-- What names a forgotten account changes, within the transaction that seals the erasure, and never else.
DROP TRIGGER decisions_are_not_changed;

CREATE TRIGGER decisions_are_not_changed BEFORE UPDATE ON decisions
WHEN NOT EXISTS (SELECT 1 FROM erasures WHERE done = 0)
BEGIN SELECT RAISE(ABORT, 'decisions are not changed: a later one supersedes'); END;

DROP TRIGGER action_entries_are_not_changed;

CREATE TRIGGER action_entries_are_not_changed BEFORE UPDATE ON action_entries
WHEN NOT EXISTS (SELECT 1 FROM erasures WHERE done = 0)
BEGIN SELECT RAISE(ABORT, 'entries of actions are not changed: a later one follows'); END;
