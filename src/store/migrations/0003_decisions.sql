-- What reviewers decided, one row a decision, never changed and never removed: of several on one violation the one with the
-- highest number counts. `violation` is no foreign key: a violation that a run takes back may come again, and what was decided
-- of it is kept meanwhile. `at` is the only wall clock of the log. `digest` is that of the record as it was decided upon.
CREATE TABLE decisions (
    number     INTEGER NOT NULL PRIMARY KEY,
    violation  TEXT    NOT NULL,
    outcome    TEXT    NOT NULL CHECK (outcome IN
               ('confirmed', 'false_positive', 'authorised', 'duplicate', 'insufficient_evidence', 'test')),
    reason     TEXT    NOT NULL CHECK (length(reason) BETWEEN 1 AND 2000),
    reviewer   TEXT    NOT NULL CHECK (length(reviewer) BETWEEN 1 AND 100),
    at         INTEGER NOT NULL,                                    -- nanoseconds since 1970
    digest     BLOB    NOT NULL CHECK (length(digest) = 32),        -- SHA-256 of the violation's `record` at that time
    supersedes INTEGER REFERENCES decisions (number)                -- that which counted before
) STRICT;

-- The decision that counts is the last entry of a violation.
CREATE INDEX decisions_by_violation ON decisions (violation, number, outcome);

CREATE TRIGGER decisions_are_not_changed BEFORE UPDATE ON decisions
BEGIN SELECT RAISE(ABORT, 'decisions are not changed: a later one supersedes'); END;

CREATE TRIGGER decisions_are_not_removed BEFORE DELETE ON decisions
BEGIN SELECT RAISE(ABORT, 'decisions are not removed: a later one supersedes'); END;
