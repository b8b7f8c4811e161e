-- Decisions other than plain `allow`, as gateways were told them, with what was known then. Rows are added and never changed; those
-- older than the server keeps them are removed. A call that is refused has a row of its own; calls that pass, marked or because a
-- rule is in shadow mode, share one row for as long as one batch takes, where they agree in all but the event.
CREATE TABLE decisions_given (
    number      INTEGER NOT NULL PRIMARY KEY,
    at          INTEGER NOT NULL,                            -- nanoseconds since 1970, by the clock of the server
    calls       INTEGER NOT NULL CHECK (calls >= 1),
    event       TEXT    NOT NULL,                            -- id of the (first) event
    call        TEXT,
    account     TEXT,
    api_key     TEXT,
    org         TEXT,
    decision    TEXT    NOT NULL CHECK (decision IN ('allow', 'flag', 'challenge', 'throttle', 'block')),
    would       TEXT    NOT NULL CHECK (would IN ('allow', 'flag', 'challenge', 'throttle', 'block')),
    mode        TEXT    NOT NULL CHECK (mode IN ('shadow', 'flag', 'enforce')),
    retry_after INTEGER,                                     -- nanoseconds
    reason      TEXT    NOT NULL,
    rules       TEXT    NOT NULL,                            -- JSON arrays of texts
    violations  TEXT    NOT NULL,
    actions     TEXT    NOT NULL,
    bundle      TEXT    NOT NULL                             -- hash of the rules that were in force
) STRICT;

CREATE INDEX decisions_given_by_time    ON decisions_given (at, number);
CREATE INDEX decisions_given_by_account ON decisions_given (account, number);
CREATE INDEX decisions_given_by_event   ON decisions_given (event, number);

CREATE TRIGGER decisions_given_are_not_changed BEFORE UPDATE ON decisions_given
BEGIN SELECT RAISE(ABORT, 'decisions that were given are not changed'); END;
