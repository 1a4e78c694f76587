-- How many nodes a module should have for its load: one rule for a module, as JSON.

-- unless table ScaleRule
CREATE TABLE IF NOT EXISTS ScaleRule (
    modid INTEGER NOT NULL CHECK (modid BETWEEN 0 AND 4294967295),
    cmdid INTEGER NOT NULL CHECK (cmdid BETWEEN 0 AND 4294967295),
    content TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (modid, cmdid)
) STRICT, WITHOUT ROWID;
