-- Names and policies of modules, and changes of routes that were meant however much they remove.

-- unless table Module
CREATE TABLE IF NOT EXISTS Module (
    modid INTEGER NOT NULL CHECK (modid BETWEEN 0 AND 4294967295),
    cmdid INTEGER NOT NULL CHECK (cmdid BETWEEN 0 AND 4294967295),
    name TEXT NOT NULL DEFAULT '',
    policy TEXT NOT NULL DEFAULT '',
    updated_at INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (modid, cmdid)
) STRICT, WITHOUT ROWID;

-- unless column RouteChange meant
ALTER TABLE RouteChange
    ADD COLUMN meant INTEGER NOT NULL DEFAULT 0 CHECK (meant IN (0, 1));
