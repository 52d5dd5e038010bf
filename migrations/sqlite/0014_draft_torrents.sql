-- The torrents of drafts whose content has one already, and is held against it.

CREATE TABLE draft_torrent (
    draft         TEXT    NOT NULL PRIMARY KEY REFERENCES draft (id) ON DELETE CASCADE,
    -- As it stood in the torrent file, byte by byte: the info-hash is of this.
    info          BLOB    NOT NULL,
    -- BEP 52, as far as they are known; empty in v1.
    piece_layers  BLOB    NOT NULL
) STRICT;
