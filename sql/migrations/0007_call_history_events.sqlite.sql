-- What happened over time: call results in time buckets, and events.

-- unless table CallHistory
CREATE TABLE IF NOT EXISTS CallHistory (
    step_s INTEGER NOT NULL,
    grain INTEGER NOT NULL,
    bucket_at INTEGER NOT NULL,
    modid INTEGER NOT NULL CHECK (modid BETWEEN 0 AND 4294967295),
    cmdid INTEGER NOT NULL CHECK (cmdid BETWEEN 0 AND 4294967295),
    ip INTEGER NOT NULL CHECK (ip BETWEEN 0 AND 4294967295),
    port INTEGER NOT NULL CHECK (port BETWEEN 0 AND 65535),
    caller INTEGER NOT NULL CHECK (caller BETWEEN 0 AND 4294967295),
    source INTEGER NOT NULL CHECK (source BETWEEN 0 AND 4294967295),
    succ INTEGER NOT NULL CHECK (succ >= 0),
    err INTEGER NOT NULL CHECK (err >= 0),
    reports INTEGER NOT NULL CHECK (reports >= 0),
    overload_reports INTEGER NOT NULL CHECK (overload_reports >= 0),
    PRIMARY KEY (step_s, grain, bucket_at, modid, cmdid, ip, port, caller, source)
) STRICT, WITHOUT ROWID;

-- unless table CallHistoryStep
CREATE TABLE IF NOT EXISTS CallHistoryStep (
    id INTEGER PRIMARY KEY,
    rolled_to INTEGER NOT NULL,
    deleted_to INTEGER NOT NULL,
    keep_s INTEGER NOT NULL
) STRICT;

-- unless row CallHistoryStep 10
INSERT OR IGNORE INTO CallHistoryStep (id, rolled_to, deleted_to, keep_s)
    VALUES (10, 0, 0, 21600);

-- unless row CallHistoryStep 60
INSERT OR IGNORE INTO CallHistoryStep (id, rolled_to, deleted_to, keep_s)
    VALUES (60, 0, 0, 259200);

-- unless row CallHistoryStep 3600
INSERT OR IGNORE INTO CallHistoryStep (id, rolled_to, deleted_to, keep_s)
    VALUES (3600, 0, 0, 7776000);

-- unless table Event
CREATE TABLE IF NOT EXISTS Event (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms INTEGER NOT NULL,
    kind TEXT NOT NULL,
    modid INTEGER CHECK (modid BETWEEN 0 AND 4294967295),
    cmdid INTEGER CHECK (cmdid BETWEEN 0 AND 4294967295),
    ip INTEGER CHECK (ip BETWEEN 0 AND 4294967295),
    port INTEGER CHECK (port BETWEEN 0 AND 65535),
    host INTEGER CHECK (host BETWEEN 0 AND 4294967295),
    text TEXT NOT NULL,
    detail TEXT NOT NULL
) STRICT;

-- unless index Event event_at
CREATE INDEX IF NOT EXISTS event_at ON Event(at_ms);

-- unless index Event event_module
CREATE INDEX IF NOT EXISTS event_module ON Event(modid, cmdid, id);
