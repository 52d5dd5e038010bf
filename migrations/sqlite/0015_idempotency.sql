-- What requests with an Idempotency-Key make, so that the same request again makes nothing more.

CREATE TABLE idempotency_key (
    account      INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    key          TEXT    NOT NULL,
    -- A SHA-256 of what tells the request from others.
    fingerprint  BLOB    NOT NULL,
    -- The id that what it makes will have, noted before it is made: a key whose id is nowhere has made nothing.
    publication  TEXT    NOT NULL,
    noted_at     INTEGER NOT NULL,
    PRIMARY KEY (account, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_key_by_time ON idempotency_key (noted_at);
