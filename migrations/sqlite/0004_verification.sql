-- When the content of each publication was last held against its hashes, and how many files failed.

ALTER TABLE publication ADD COLUMN verified_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE publication ADD COLUMN damaged_files INTEGER NOT NULL DEFAULT 0;

-- It was hashed while it came in.
UPDATE publication SET verified_at = published_at;

CREATE INDEX publication_by_verification ON publication (verified_at);
CREATE INDEX publication_damaged ON publication (verified_at) WHERE damaged_files > 0;
