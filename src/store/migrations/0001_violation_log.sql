-- The violation log. Times are INTEGER nanoseconds since 1970-01-01T00:00:00Z in event time; no column holds a wall clock.

-- One row a violation. `record` is the whole export form; the other columns are copies of its parts that a reviewer
-- filters or sorts by. `opened_at` is part of what `id` is a hash of, so it never changes.
CREATE TABLE violations (
    id         TEXT    NOT NULL PRIMARY KEY,
    rule       TEXT    NOT NULL,
    rule_hash  TEXT    NOT NULL,
    policy     TEXT    NOT NULL,
    clause     TEXT    NOT NULL,
    severity   INTEGER NOT NULL CHECK (severity BETWEEN 0 AND 4),   -- info low medium high critical
    confidence INTEGER NOT NULL CHECK (confidence BETWEEN 0 AND 2), -- low medium high
    mode       TEXT    NOT NULL CHECK (mode IN ('shadow', 'flag', 'enforce')),
    status     TEXT    NOT NULL CHECK (status IN ('open', 'closed', 'exempted', 'merged')),
    opened_at  INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    closed_at  INTEGER,
    n_accounts INTEGER NOT NULL CHECK (n_accounts >= 0),
    digest     BLOB    NOT NULL CHECK (length(digest) = 32),        -- SHA-256 of `record`
    record     TEXT    NOT NULL
) STRICT;

-- Each index holds the export order, so that a filtered page is read in order and never sorted. Severity, status and mode
-- have a handful of values each: an index of their own would cost every write and save little, so they stand in the index
-- of the order itself, where a walk tests them without touching the table.
CREATE INDEX violations_by_opened ON violations (opened_at, id, severity, status, mode);
CREATE INDEX violations_by_rule   ON violations (rule, opened_at, id, severity, status); -- counts read it alone
CREATE INDEX violations_by_policy ON violations (policy, opened_at, id);
CREATE INDEX violations_by_clause ON violations (clause, opened_at, id);

-- Which accounts a violation names. `opened_at` is repeated so that one account's violations are read in export order.
-- No index by violation: its record lists its accounts, and violations are never deleted.
CREATE TABLE violation_accounts (
    account   TEXT    NOT NULL,
    opened_at INTEGER NOT NULL,
    violation TEXT    NOT NULL REFERENCES violations (id),
    PRIMARY KEY (account, opened_at, violation)
) STRICT, WITHOUT ROWID;

-- What of each input has been consumed. `content_hash` covers the first `offset_bytes` bytes.
CREATE TABLE inputs (
    name         TEXT    NOT NULL PRIMARY KEY,
    number       INTEGER NOT NULL,   -- by which the snapshot calls it
    content_hash TEXT    NOT NULL,
    offset_bytes INTEGER NOT NULL CHECK (offset_bytes >= 0),
    n_lines      INTEGER NOT NULL CHECK (n_lines >= 0),
    finished     INTEGER NOT NULL CHECK (finished IN (0, 1))
) STRICT, WITHOUT ROWID;

-- Records of the inputs that were refused, and why. Never the refused text itself.
CREATE TABLE rejects (
    input  TEXT    NOT NULL,
    line   INTEGER NOT NULL CHECK (line >= 0),
    reason TEXT    NOT NULL,
    field  TEXT,
    detail TEXT    NOT NULL CHECK (length(detail) <= 300),
    PRIMARY KEY (input, line)
) STRICT, WITHOUT ROWID;

-- Counters by name: what became of all records.
CREATE TABLE books (
    name  TEXT    NOT NULL PRIMARY KEY,
    count INTEGER NOT NULL CHECK (count >= 0)
) STRICT, WITHOUT ROWID;

-- What this log was written under; the last row is in force, the others are its history.
CREATE TABLE pins (
    generation INTEGER NOT NULL PRIMARY KEY,
    change     TEXT    NOT NULL CHECK (change IN ('first', 'keep', 'reset')),
    rules      TEXT    NOT NULL,
    lists      TEXT    NOT NULL,
    registry   TEXT    NOT NULL,
    config     TEXT    NOT NULL,
    engine     TEXT    NOT NULL
) STRICT;

-- The evaluator's snapshot in pieces of at most 1 MiB. `digest` stands before the bytes, so that comparing pieces does
-- not read them.
CREATE TABLE state (
    piece  INTEGER NOT NULL PRIMARY KEY,
    digest BLOB    NOT NULL CHECK (length(digest) = 32),
    bytes  BLOB    NOT NULL
) STRICT;

-- One row once a checkpoint was committed.
CREATE TABLE checkpoint (
    only           INTEGER NOT NULL PRIMARY KEY CHECK (only = 1),
    snapshot_bytes INTEGER NOT NULL CHECK (snapshot_bytes >= 0),
    snapshot_hash  BLOB    NOT NULL CHECK (length(snapshot_hash) = 32), -- SHA-256 over the digests of its pieces
    journal        TEXT              -- how far the journal of projections is part of this state; NULL: a run without
) STRICT;
