-- Leases of nodes that register themselves, beside the routes that they become.

-- unless table Lease
CREATE TABLE IF NOT EXISTS Lease (
    modid INTEGER NOT NULL CHECK (modid BETWEEN 0 AND 4294967295),
    cmdid INTEGER NOT NULL CHECK (cmdid BETWEEN 0 AND 4294967295),
    ip INTEGER NOT NULL CHECK (ip BETWEEN 0 AND 4294967295),
    port INTEGER NOT NULL CHECK (port BETWEEN 0 AND 4294967295),
    incarnation INTEGER NOT NULL CHECK (incarnation >= 0),
    holder INTEGER NOT NULL CHECK (holder >= 0),
    phase TEXT NOT NULL,
    ttl_ms INTEGER NOT NULL CHECK (ttl_ms >= 0),
    weight INTEGER NOT NULL CHECK (weight BETWEEN 0 AND 65535),
    zone TEXT NOT NULL,
    source TEXT NOT NULL,
    owner TEXT NOT NULL,
    note TEXT NOT NULL,
    since INTEGER NOT NULL,
    written TEXT NOT NULL,
    hand TEXT NOT NULL,
    changed INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (modid, cmdid, ip, port)
) STRICT, WITHOUT ROWID;

-- unless index Lease lease_seq
CREATE INDEX IF NOT EXISTS lease_seq ON Lease (seq);

-- unless table LeaseSeq
CREATE TABLE IF NOT EXISTS LeaseSeq (
    id INTEGER NOT NULL PRIMARY KEY,
    seq INTEGER NOT NULL
) STRICT;

-- unless row LeaseSeq 1
INSERT OR IGNORE INTO LeaseSeq (id, seq) VALUES (1, 0);

-- unless table LeaseHolder
CREATE TABLE IF NOT EXISTS LeaseHolder (
    id INTEGER NOT NULL PRIMARY KEY,
    address TEXT NOT NULL,
    beat INTEGER NOT NULL
) STRICT;

-- unless table LeaseGuard
CREATE TABLE IF NOT EXISTS LeaseGuard (
    holder INTEGER NOT NULL,
    modid INTEGER NOT NULL CHECK (modid BETWEEN 0 AND 4294967295),
    cmdid INTEGER NOT NULL CHECK (cmdid BETWEEN 0 AND 4294967295),
    held INTEGER NOT NULL,
    live INTEGER NOT NULL,
    since INTEGER NOT NULL,
    confirmed INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (holder, modid, cmdid)
) STRICT, WITHOUT ROWID;
