-- What was published once and is not any more. All else of it is gone, so that its content may be published anew.

CREATE TABLE withdrawal (
    -- The id that the publication had, for its addresses are out in the world.
    publication   TEXT    NOT NULL PRIMARY KEY,
    withdrawn_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
