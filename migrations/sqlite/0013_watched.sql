-- What lay in the watch folder when it was published: a restart publishes nothing twice, and what changes is noticed.

CREATE TABLE watched (
    -- The file or folder, by its absolute path, in the bytes of the file system.
    path         BLOB  NOT NULL PRIMARY KEY,
    -- A SHA-256 over names, lengths and times of its files.
    fingerprint  BLOB  NOT NULL,
    -- May be withdrawn: what lies there is not published again unless it changes.
    publication  TEXT  NOT NULL
) STRICT, WITHOUT ROWID;
