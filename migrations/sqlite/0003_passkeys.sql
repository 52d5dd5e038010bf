-- A passkey for every account: what a private tracker knows its peers' owners by. It is kept as it is, for torrents are put
-- together with it when they are asked for. SQLite's random bytes come from a stream cipher that the system seeds.
ALTER TABLE account ADD COLUMN passkey BLOB;

UPDATE account SET passkey = randomblob(16);

CREATE UNIQUE INDEX account_by_passkey ON account (passkey);
