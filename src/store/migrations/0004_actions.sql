-- What happened to actions, one row an act, never changed and never removed. What an action is follows from its rows in the order
-- of `seq`. `violation` is no foreign key and stands in `details` alone: an action outlives whatever a run does to the record it
-- rests on. `once` says which acts on one action are the same, so that an act that is written twice is there once.
CREATE TABLE action_entries (
    seq     INTEGER NOT NULL PRIMARY KEY,
    at      INTEGER NOT NULL,                               -- nanoseconds since 1970, by the clock of whoever acted
    actor   TEXT    NOT NULL CHECK (actor IN ('rule', 'person', 'fineprint')),
    name    TEXT    NOT NULL,
    action  TEXT    NOT NULL CHECK (length(action) = 32),
    act     TEXT    NOT NULL CHECK (act IN
            ('proposed', 'awaiting_review', 'approved', 'refused', 'delayed', 'taken', 'extended', 'released',
             'member_released', 'members_added', 'expired', 'alerted')),
    once    TEXT    NOT NULL,
    reason  TEXT    NOT NULL CHECK (length(reason) <= 2000),
    details TEXT    NOT NULL                                -- JSON of the act
) STRICT;

CREATE UNIQUE INDEX action_entries_once ON action_entries (action, once);

CREATE TRIGGER action_entries_are_not_changed BEFORE UPDATE ON action_entries
BEGIN SELECT RAISE(ABORT, 'entries of actions are not changed: a later one follows'); END;

CREATE TRIGGER action_entries_are_not_removed BEFORE DELETE ON action_entries
BEGIN SELECT RAISE(ABORT, 'entries of actions are not removed: a later one follows'); END;

-- Where each action stands, by its entries; written with them, to be filtered and sorted by. `is_alive`: something may come of it.
CREATE TABLE actions (
    id          TEXT    NOT NULL PRIMARY KEY,
    proposed_at INTEGER NOT NULL,
    state       TEXT    NOT NULL CHECK (state IN
                ('withheld', 'shadow', 'awaiting_review', 'delayed', 'in_force', 'released', 'refused', 'expired')),
    is_alive    INTEGER NOT NULL CHECK (is_alive IN (0, 1)),
    rule        TEXT    NOT NULL,
    violation   TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX actions_by_proposal  ON actions (proposed_at, id);
CREATE INDEX actions_by_life      ON actions (is_alive, proposed_at, id);
CREATE INDEX actions_by_state     ON actions (state, proposed_at, id);
CREATE INDEX actions_by_rule      ON actions (rule, proposed_at, id);
CREATE INDEX actions_by_violation ON actions (violation, proposed_at, id);

-- Whom each action bears on or did: accounts, keys and organisations.
CREATE TABLE action_members (
    member      TEXT    NOT NULL,
    proposed_at INTEGER NOT NULL,
    action      TEXT    NOT NULL,
    PRIMARY KEY (member, proposed_at, action)
) STRICT, WITHOUT ROWID;
