-- What an administrator has taken down. All of it is kept, to refuse the same content and to be put back; nothing of it is shown.

CREATE TABLE takedown (
    publication    TEXT    NOT NULL PRIMARY KEY REFERENCES publication (id) ON DELETE CASCADE,
    reason         TEXT    NOT NULL,
    -- The administrator's name.
    account        TEXT    NOT NULL,
    taken_down_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- It keeps its number and is filed under nothing, as what is unlisted.
DROP VIEW filing;

CREATE VIEW filing AS
    SELECT listing.number, publication.id AS publication, 'all' AS kind, '' AS name
    FROM listing JOIN publication ON publication.id = listing.publication
    WHERE NOT publication.unlisted AND publication.id NOT IN (SELECT publication FROM takedown)
    UNION ALL
    SELECT listing.number, publication.id, 'tag', tag.value
    FROM listing JOIN publication ON publication.id = listing.publication JOIN json_each(publication.tags) AS tag
    WHERE NOT publication.unlisted AND publication.id NOT IN (SELECT publication FROM takedown)
    UNION ALL
    SELECT listing.number, publication.id, 'licence', publication.licence
    FROM listing JOIN publication ON publication.id = listing.publication
    WHERE publication.licence <> '' AND NOT publication.unlisted AND publication.id NOT IN (SELECT publication FROM takedown)
    UNION ALL
    SELECT listing.number, publication.id, 'creator', publication.creator
    FROM listing JOIN publication ON publication.id = listing.publication
    WHERE publication.creator <> '' AND NOT publication.unlisted AND publication.id NOT IN (SELECT publication FROM takedown);
