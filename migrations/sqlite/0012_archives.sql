-- The CRC-32 of each file, which archives tell before its bytes. NULL where a file was published before; it is summed up when an archive
-- is asked for.

ALTER TABLE published_file ADD COLUMN crc32 INTEGER;
