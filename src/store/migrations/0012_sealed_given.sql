-- More is sealed: decisions that were given, in batches, and what happens to a server. Which kinds there are is known to the
-- program that reads them, so that a later one need not make the table anew: what it does not know it names.
CREATE TABLE entries_of_any_kind (
    seq     INTEGER NOT NULL PRIMARY KEY CHECK (seq >= 0),          -- place in the tree, from 0, without gaps
    kind    TEXT    NOT NULL CHECK (length(kind) BETWEEN 1 AND 20),
    subject TEXT    NOT NULL,                                       -- id or number of what is sealed
    digest  BLOB    NOT NULL CHECK (length(digest) = 32)
) STRICT;

INSERT INTO entries_of_any_kind SELECT seq, kind, subject, digest FROM entries;

DROP TABLE entries;

ALTER TABLE entries_of_any_kind RENAME TO entries;

-- The last entry of a subject is the one that counts.
CREATE INDEX entries_by_subject ON entries (kind, subject, seq);

CREATE TRIGGER entries_are_not_changed BEFORE UPDATE ON entries
BEGIN SELECT RAISE(ABORT, 'entries of the log are not changed'); END;

CREATE TRIGGER entries_are_not_removed BEFORE DELETE ON entries
BEGIN SELECT RAISE(ABORT, 'entries of the log are not removed'); END;

-- What is left of a decision that was given and then erased: its leaf in the tree of its batch, which says nothing of it.
CREATE TABLE given_erased (
    number INTEGER NOT NULL PRIMARY KEY,
    leaf   BLOB    NOT NULL CHECK (length(leaf) = 32)
) STRICT;

-- What happens to a server: reloads, and who may call. Rows are added and never changed.
CREATE TABLE server_notes (
    number  INTEGER NOT NULL PRIMARY KEY,
    kind    TEXT    NOT NULL CHECK (kind IN ('reload', 'callers')),
    at      INTEGER NOT NULL,                                       -- nanoseconds since 1970, by the clock of the server
    details TEXT    NOT NULL                                        -- JSON
) STRICT;

CREATE INDEX server_notes_by_kind ON server_notes (kind, number);

CREATE TRIGGER server_notes_are_not_changed BEFORE UPDATE ON server_notes
BEGIN SELECT RAISE(ABORT, 'notes of the server are not changed'); END;

CREATE TRIGGER server_notes_are_not_removed BEFORE DELETE ON server_notes
BEGIN SELECT RAISE(ABORT, 'notes of the server are not removed'); END;
