-- The log as an append-only Merkle tree. One row for everything that was ever written or decided, in order: `digest` is
-- SHA-256 of what is sealed, and the leaf of the tree is made of all four columns, so none of them can be altered.
CREATE TABLE entries (
    seq     INTEGER NOT NULL PRIMARY KEY CHECK (seq >= 0),          -- place in the tree, from 0, without gaps
    kind    TEXT    NOT NULL CHECK (kind IN ('violation', 'retraction', 'decision', 'action', 'rules', 'commit', 'key')),
    subject TEXT    NOT NULL,                                       -- id or number of what is sealed
    digest  BLOB    NOT NULL CHECK (length(digest) = 32)
) STRICT;

-- The last entry of a subject is the one that counts.
CREATE INDEX entries_by_subject ON entries (kind, subject, seq);

CREATE TRIGGER entries_are_not_changed BEFORE UPDATE ON entries
BEGIN SELECT RAISE(ABORT, 'entries of the log are not changed'); END;

CREATE TRIGGER entries_are_not_removed BEFORE DELETE ON entries
BEGIN SELECT RAISE(ABORT, 'entries of the log are not removed'); END;

-- The right edge of the tree: enough to append to it. One row once there is an entry.
CREATE TABLE tree (
    only   INTEGER NOT NULL PRIMARY KEY CHECK (only = 1),
    size   INTEGER NOT NULL CHECK (size >= 0),
    roots  BLOB    NOT NULL                                         -- of the perfect subtrees, the largest first
) STRICT;

-- The latest signed checkpoint of each key, and the key that checks it.
CREATE TABLE signed (
    key    TEXT    NOT NULL PRIMARY KEY,                            -- `name+hash+base64`
    size   INTEGER NOT NULL CHECK (size >= 0),
    note   TEXT    NOT NULL
) STRICT, WITHOUT ROWID;
