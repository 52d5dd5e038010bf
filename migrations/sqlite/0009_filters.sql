-- Under which tags, licence and creator each publication is filed, so that a page of the catalogue is one walk over an index, whatever it
-- is filtered and sorted by.

CREATE TABLE facet (
    id            INTEGER NOT NULL PRIMARY KEY,
    -- `tag`, `licence` or `creator`; `all` is the one under which all are filed.
    kind          TEXT    NOT NULL,
    name          TEXT    NOT NULL,
    publications  INTEGER NOT NULL DEFAULT 0,
    UNIQUE (kind, name)
) STRICT;

CREATE INDEX facet_by_size ON facet (kind, publications, name);

CREATE TABLE filed (
    facet         INTEGER NOT NULL REFERENCES facet (id),
    number        INTEGER NOT NULL REFERENCES listing (number) ON DELETE CASCADE,
    total_length  INTEGER NOT NULL,
    completed     INTEGER NOT NULL,
    PRIMARY KEY (facet, number)
) STRICT, WITHOUT ROWID;

CREATE INDEX filed_by_length ON filed (facet, total_length, number);
CREATE INDEX filed_by_downloads ON filed (facet, completed, number);
CREATE INDEX filed_of_number ON filed (number);

CREATE TRIGGER facet_grows AFTER INSERT ON filed BEGIN
    UPDATE facet SET publications = publications + 1 WHERE id = new.facet;
END;

CREATE TRIGGER facet_shrinks AFTER DELETE ON filed BEGIN
    UPDATE facet SET publications = publications - 1 WHERE id = old.facet;
END;

CREATE TRIGGER downloads_begin AFTER INSERT ON tally BEGIN
    UPDATE filed SET completed = new.completed
    WHERE number = (SELECT number FROM listing WHERE publication = new.publication);
END;

CREATE TRIGGER downloads_grow AFTER UPDATE OF completed ON tally WHEN new.completed <> old.completed BEGIN
    UPDATE filed SET completed = new.completed
    WHERE number = (SELECT number FROM listing WHERE publication = new.publication);
END;

-- Under what each publication belongs.
CREATE VIEW filing AS
    SELECT listing.number, listing.publication, 'all' AS kind, '' AS name FROM listing
    UNION ALL
    SELECT listing.number, publication.id, 'tag', tag.value
    FROM listing JOIN publication ON publication.id = listing.publication JOIN json_each(publication.tags) AS tag
    UNION ALL
    SELECT listing.number, publication.id, 'licence', publication.licence
    FROM listing JOIN publication ON publication.id = listing.publication WHERE publication.licence <> ''
    UNION ALL
    SELECT listing.number, publication.id, 'creator', publication.creator
    FROM listing JOIN publication ON publication.id = listing.publication WHERE publication.creator <> '';

INSERT INTO facet (kind, name) VALUES ('all', '');
INSERT INTO facet (kind, name) SELECT DISTINCT kind, name FROM filing WHERE kind <> 'all';

INSERT INTO filed (facet, number, total_length, completed)
SELECT facet.id, filing.number, publication.total_length, coalesce(tally.completed, 0)
FROM filing
JOIN facet ON facet.kind = filing.kind AND facet.name = filing.name
JOIN publication ON publication.id = filing.publication
LEFT JOIN tally ON tally.publication = filing.publication;

-- What is filed under `all` is counted now.
DROP TRIGGER listing_grows;
DROP TRIGGER listing_shrinks;
DROP TABLE catalogue_size;

CREATE TRIGGER listing_shrinks AFTER DELETE ON listing BEGIN
    DELETE FROM search WHERE rowid = old.number;
END;
