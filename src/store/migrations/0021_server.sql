-- What is told of alerts: one row an entry that alerts and a target of its channel, written in the transaction of the entry, so that
-- an alert that is in the log is delivered after a kill too. `outcome` is missing while it waits.
CREATE TABLE alert_deliveries (
    seq        INTEGER NOT NULL REFERENCES action_entries (seq), -- the entry
    target     TEXT    NOT NULL,
    channel    TEXT    NOT NULL,
    violation  TEXT    NOT NULL,
    n_accounts INTEGER NOT NULL,                                 -- that the violation named when the entry was written
    not_before INTEGER NOT NULL,                                 -- nanoseconds since 1970
    outcome    TEXT    CHECK (outcome IN ('delivered', 'dead', 'unrouted', 'withdrawn')),
    settled_at INTEGER,                                          -- nanoseconds since 1970, by the clock of the server
    PRIMARY KEY (seq, target)
) STRICT, WITHOUT ROWID;

CREATE INDEX alert_deliveries_waiting ON alert_deliveries (channel, target, not_before, seq) WHERE outcome IS NULL;
CREATE INDEX alert_deliveries_by_violation ON alert_deliveries (violation, seq, target);

-- Decisions that were given are read by when they were given.
DROP INDEX decisions_given_by_account;
DROP INDEX decisions_given_by_event;
CREATE INDEX decisions_given_by_account ON decisions_given (account, at, number);
CREATE INDEX decisions_given_by_event   ON decisions_given (event, at, number);
CREATE INDEX decisions_given_by_call    ON decisions_given (call, at, number) WHERE call IS NOT NULL;

-- The decision of reviewers that counts, by what it is, in the order of the violations: written with each decision.
CREATE TABLE decided (
    violation TEXT    NOT NULL PRIMARY KEY,
    outcome   TEXT    NOT NULL,
    opened_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX decided_by_outcome ON decided (outcome, opened_at, violation);

INSERT INTO decided (violation, outcome, opened_at)
SELECT d.violation, d.outcome, v.opened_at FROM decisions AS d JOIN violations AS v ON v.id = d.violation
WHERE d.number = (SELECT max(number) FROM decisions WHERE violation = d.violation);
