-- What is said of a publication beside its words, as JSON: who finds it, what it replaces, its DOI, links, more trackers and web seeds.

ALTER TABLE publication ADD COLUMN particulars TEXT NOT NULL DEFAULT '{}';
ALTER TABLE publication ADD COLUMN unlisted INTEGER AS (coalesce(particulars ->> 'unlisted', 0)) VIRTUAL;
ALTER TABLE publication ADD COLUMN replaces TEXT AS (particulars ->> 'replaces') VIRTUAL;

ALTER TABLE draft ADD COLUMN particulars TEXT NOT NULL DEFAULT '{}';

-- A withdrawn version stays in the line, so that from the one before it the way to the newest is found.
ALTER TABLE withdrawal ADD COLUMN replaces TEXT;

CREATE INDEX publication_by_replaced ON publication (replaces) WHERE replaces IS NOT NULL;
CREATE INDEX withdrawal_by_replaced ON withdrawal (replaces) WHERE replaces IS NOT NULL;

-- What is unlisted keeps its number and is filed under nothing: every page and every search goes over what is filed.
DROP VIEW filing;

CREATE VIEW filing AS
    SELECT listing.number, publication.id AS publication, 'all' AS kind, '' AS name
    FROM listing JOIN publication ON publication.id = listing.publication WHERE NOT publication.unlisted
    UNION ALL
    SELECT listing.number, publication.id, 'tag', tag.value
    FROM listing JOIN publication ON publication.id = listing.publication JOIN json_each(publication.tags) AS tag
    WHERE NOT publication.unlisted
    UNION ALL
    SELECT listing.number, publication.id, 'licence', publication.licence
    FROM listing JOIN publication ON publication.id = listing.publication
    WHERE publication.licence <> '' AND NOT publication.unlisted
    UNION ALL
    SELECT listing.number, publication.id, 'creator', publication.creator
    FROM listing JOIN publication ON publication.id = listing.publication
    WHERE publication.creator <> '' AND NOT publication.unlisted;
