-- Publications, their torrents and totals; accounts, API tokens and web sessions.
-- Times are seconds since 1970; hashes are raw bytes.

CREATE TABLE publication (
    id            TEXT    NOT NULL PRIMARY KEY,
    title         TEXT    NOT NULL,
    description   TEXT    NOT NULL,
    private       INTEGER NOT NULL,
    name          TEXT    NOT NULL,
    info_hash_v1  BLOB    UNIQUE,
    info_hash_v2  BLOB    UNIQUE,
    piece_length  INTEGER NOT NULL,
    total_length  INTEGER NOT NULL,
    file_count    INTEGER NOT NULL,
    publisher     TEXT    NOT NULL,
    created_at    INTEGER NOT NULL,
    published_at  INTEGER NOT NULL,
    CHECK (info_hash_v1 IS NOT NULL OR info_hash_v2 IS NOT NULL)
) STRICT, WITHOUT ROWID;

CREATE INDEX publication_newest ON publication (published_at, id);

CREATE TABLE published_file (
    publication  TEXT    NOT NULL REFERENCES publication (id) ON DELETE CASCADE,
    ordinal      INTEGER NOT NULL,
    path         TEXT    NOT NULL,
    length       INTEGER NOT NULL,
    sha256       BLOB    NOT NULL,
    stored_as    INTEGER NOT NULL,
    PRIMARY KEY (publication, ordinal)
) STRICT, WITHOUT ROWID;

-- Apart from the publication, so that a catalogue page does not walk over megabytes of piece hashes.
CREATE TABLE metainfo (
    publication   TEXT NOT NULL UNIQUE REFERENCES publication (id) ON DELETE CASCADE,
    info          BLOB NOT NULL,
    piece_layers  BLOB NOT NULL
) STRICT;

-- What a publication has given since it was published.
CREATE TABLE tally (
    publication     TEXT    NOT NULL PRIMARY KEY REFERENCES publication (id) ON DELETE CASCADE,
    completed       INTEGER NOT NULL,
    peer_bytes      INTEGER NOT NULL,
    web_seed_bytes  INTEGER NOT NULL,
    file_bytes      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE account (
    id           INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    name         TEXT    NOT NULL,
    -- The name without its case: nobody may look like somebody else.
    folded_name  TEXT    NOT NULL UNIQUE,
    role         TEXT    NOT NULL,
    password     TEXT    NOT NULL,
    is_disabled  INTEGER NOT NULL DEFAULT FALSE,
    created_at   INTEGER NOT NULL
) STRICT;

CREATE TABLE token (
    hash        BLOB    NOT NULL PRIMARY KEY,
    account     INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    name        TEXT    NOT NULL,
    prefix      TEXT    NOT NULL,
    expires_at  INTEGER,
    created_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX token_of_account ON token (account);

CREATE TABLE web_session (
    hash        BLOB    NOT NULL PRIMARY KEY,
    account     INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    expires_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX web_session_of_account ON web_session (account);
CREATE INDEX web_session_by_expiry ON web_session (expires_at);
