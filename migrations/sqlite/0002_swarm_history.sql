-- What came to peers, and how swarms were, by hour and by day (UTC; hours and days since 1970).

ALTER TABLE tally ADD COLUMN delivered_bytes INTEGER NOT NULL DEFAULT 0;

CREATE TABLE swarm_hour (
    publication  TEXT    NOT NULL REFERENCES publication (id) ON DELETE CASCADE,
    hour         INTEGER NOT NULL,
    -- The most at any time of the hour.
    seeders      INTEGER NOT NULL,
    leechers     INTEGER NOT NULL,
    PRIMARY KEY (publication, hour)
) STRICT, WITHOUT ROWID;

CREATE INDEX swarm_hour_by_age ON swarm_hour (hour);

CREATE TABLE swarm_day (
    publication      TEXT    NOT NULL REFERENCES publication (id) ON DELETE CASCADE,
    day              INTEGER NOT NULL,
    seeders          INTEGER NOT NULL DEFAULT 0,
    leechers         INTEGER NOT NULL DEFAULT 0,
    completed        INTEGER NOT NULL DEFAULT 0,
    peer_bytes       INTEGER NOT NULL DEFAULT 0,
    web_seed_bytes   INTEGER NOT NULL DEFAULT 0,
    file_bytes       INTEGER NOT NULL DEFAULT 0,
    delivered_bytes  INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (publication, day)
) STRICT, WITHOUT ROWID;

CREATE INDEX swarm_day_by_age ON swarm_day (day);
