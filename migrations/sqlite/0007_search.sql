-- The catalogue in the order in which publications came out, and their words for full-text search.

CREATE TABLE listing (
    -- Grows with every publication and is never given again: pages end and begin at one, and `search` has its words under it.
    number       INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    publication  TEXT    NOT NULL UNIQUE REFERENCES publication (id) ON DELETE CASCADE
) STRICT;

-- It keeps no text, only which words stand where: the text is in the tables that it was made from.
CREATE VIRTUAL TABLE search USING fts5 (
    title, description, names,
    content = '', contentless_delete = 1, tokenize = 'unicode61 remove_diacritics 2', prefix = '1 2 3'
);

INSERT INTO listing (publication) SELECT id FROM publication ORDER BY published_at, id;

INSERT INTO search (rowid, title, description, names)
SELECT listing.number, publication.title, publication.description,
       publication.name || char(10) || coalesce((
           SELECT group_concat(path, char(10))
           FROM (SELECT path, sum(octet_length(path)) OVER (ORDER BY ordinal) AS bytes
                 FROM published_file WHERE published_file.publication = listing.publication)
           WHERE bytes <= 1048576), '')
FROM listing JOIN publication ON publication.id = listing.publication;

-- How many there are, so that no page has to count them.
CREATE TABLE catalogue_size (publications INTEGER NOT NULL) STRICT;

INSERT INTO catalogue_size SELECT count(*) FROM listing;

CREATE TRIGGER listing_grows AFTER INSERT ON listing BEGIN
    UPDATE catalogue_size SET publications = publications + 1;
END;

CREATE TRIGGER listing_shrinks AFTER DELETE ON listing BEGIN
    UPDATE catalogue_size SET publications = publications - 1;
    DELETE FROM search WHERE rowid = old.number;
END;
