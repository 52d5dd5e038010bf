-- Publications whose files are still coming. How much of each file is there, its length on disk says.

CREATE TABLE draft (
    -- The id that the publication will have.
    id            TEXT    NOT NULL PRIMARY KEY,
    title         TEXT    NOT NULL,
    description   TEXT    NOT NULL,
    format        TEXT    NOT NULL,
    private       INTEGER NOT NULL,
    publisher     TEXT    NOT NULL,
    total_length  INTEGER NOT NULL,
    created_at    INTEGER NOT NULL,
    -- When somebody last worked on it: it expires some time after.
    touched_at    INTEGER NOT NULL,
    -- Why nothing can come of it, and which publication has the same files.
    failure       TEXT,
    twin          TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE draft_file (
    draft    TEXT    NOT NULL REFERENCES draft (id) ON DELETE CASCADE,
    ordinal  INTEGER NOT NULL,
    path     TEXT    NOT NULL,
    length   INTEGER NOT NULL,
    PRIMARY KEY (draft, ordinal)
) STRICT, WITHOUT ROWID;
