-- Who made a publication, under which licence, and its tags; and all of that in the full-text index.

ALTER TABLE publication ADD COLUMN creator TEXT NOT NULL DEFAULT '';
-- An SPDX identifier; empty where nothing was said.
ALTER TABLE publication ADD COLUMN licence TEXT NOT NULL DEFAULT '';
-- A JSON array of texts.
ALTER TABLE publication ADD COLUMN tags TEXT NOT NULL DEFAULT '[]';

ALTER TABLE draft ADD COLUMN creator TEXT NOT NULL DEFAULT '';
ALTER TABLE draft ADD COLUMN licence TEXT NOT NULL DEFAULT '';
ALTER TABLE draft ADD COLUMN tags TEXT NOT NULL DEFAULT '[]';

DROP TABLE search;

CREATE VIRTUAL TABLE search USING fts5 (
    title, creator, description, tags, names,
    content = '', contentless_delete = 1, tokenize = 'unicode61 remove_diacritics 2', prefix = '1 2 3'
);

INSERT INTO search (rowid, title, creator, description, tags, names)
SELECT listing.number, publication.title, publication.creator, publication.description, publication.tags,
       publication.name || char(10) || coalesce((
           SELECT group_concat(path, char(10))
           FROM (SELECT path, sum(octet_length(path)) OVER (ORDER BY ordinal) AS bytes
                 FROM published_file WHERE published_file.publication = listing.publication)
           WHERE bytes <= 1048576), '')
FROM listing JOIN publication ON publication.id = listing.publication;
