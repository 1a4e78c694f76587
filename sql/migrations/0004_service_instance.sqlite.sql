-- Which services are alive, as they say themselves.

-- unless table ServiceInstance
CREATE TABLE IF NOT EXISTS ServiceInstance (
    kind TEXT NOT NULL,
    address TEXT NOT NULL,
    software TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL,
    detail TEXT NOT NULL,
    PRIMARY KEY (kind, address)
) STRICT, WITHOUT ROWID;
