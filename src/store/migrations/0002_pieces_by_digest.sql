-- Pieces of the snapshot by their content, so that they can be written before the rest of a commit, one by one, and a piece
-- that is there already is not written again.
CREATE TABLE piece (
    digest BLOB NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
    bytes  BLOB NOT NULL
) STRICT;

INSERT OR IGNORE INTO piece (digest, bytes) SELECT digest, bytes FROM state;

CREATE TABLE snapshot (
    number INTEGER NOT NULL PRIMARY KEY,
    digest BLOB    NOT NULL REFERENCES piece (digest)
) STRICT;

INSERT INTO snapshot (number, digest) SELECT piece, digest FROM state;

DROP TABLE state;
