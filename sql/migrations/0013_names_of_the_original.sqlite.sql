-- Names of module and command numbers, as the console of the original has them.

-- unless table ModIDConfig
CREATE TABLE IF NOT EXISTS ModIDConfig (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    modid INTEGER NOT NULL CHECK (modid BETWEEN 0 AND 4294967295),
    content TEXT NOT NULL
) STRICT;

-- unless table CmdIDConfig
CREATE TABLE IF NOT EXISTS CmdIDConfig (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    cmdid INTEGER NOT NULL CHECK (cmdid BETWEEN 0 AND 4294967295),
    content TEXT NOT NULL
) STRICT;
