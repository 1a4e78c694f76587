-- What the console keeps: who may do what, what was done, and what to be told about.
-- Instants are in milliseconds since 1970.

-- unless table ConsoleUser
CREATE TABLE IF NOT EXISTS ConsoleUser (
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    password TEXT NOT NULL,
    must_change INTEGER NOT NULL,
    disabled INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    login_at INTEGER NOT NULL,
    PRIMARY KEY (name)
) STRICT, WITHOUT ROWID;

-- unless table ConsoleSession
CREATE TABLE IF NOT EXISTS ConsoleSession (
    hash TEXT NOT NULL,
    user_name TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (hash)
) STRICT, WITHOUT ROWID;

-- unless index ConsoleSession session_user
CREATE INDEX session_user ON ConsoleSession(user_name);

-- unless table ConsoleToken
CREATE TABLE IF NOT EXISTS ConsoleToken (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    title TEXT NOT NULL,
    owner TEXT NOT NULL,
    role TEXT NOT NULL,
    hash TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at INTEGER NOT NULL
) STRICT;

-- unless index ConsoleToken token_hash
CREATE UNIQUE INDEX token_hash ON ConsoleToken(hash);

-- unless index ConsoleToken token_owner
CREATE INDEX token_owner ON ConsoleToken(owner);

-- unless table ConsoleAudit
CREATE TABLE IF NOT EXISTS ConsoleAudit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    who TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    outcome TEXT NOT NULL,
    detail TEXT NOT NULL,
    address TEXT NOT NULL
) STRICT;

-- unless table ConsoleChange
CREATE TABLE IF NOT EXISTS ConsoleChange (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    who TEXT NOT NULL,
    via TEXT NOT NULL,
    why TEXT NOT NULL,
    summary TEXT NOT NULL,
    module_count INTEGER NOT NULL,
    node_count INTEGER NOT NULL,
    undoes INTEGER NOT NULL,
    undone_by INTEGER NOT NULL
) STRICT;

-- unless table ConsoleChangeModule
CREATE TABLE IF NOT EXISTS ConsoleChangeModule (
    modid INTEGER NOT NULL,
    cmdid INTEGER NOT NULL,
    change_id INTEGER NOT NULL,
    PRIMARY KEY (modid, cmdid, change_id)
) STRICT, WITHOUT ROWID;

-- unless index ConsoleChangeModule change_module
CREATE INDEX change_module ON ConsoleChangeModule(change_id);

-- unless table ConsoleChangePart
CREATE TABLE IF NOT EXISTS ConsoleChangePart (
    change_id INTEGER NOT NULL,
    part INTEGER NOT NULL,
    content TEXT NOT NULL,
    PRIMARY KEY (change_id, part)
) STRICT;

-- unless table AlertRule
CREATE TABLE IF NOT EXISTS AlertRule (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    title TEXT NOT NULL,
    severity TEXT NOT NULL,
    enabled INTEGER NOT NULL,
    threshold REAL NOT NULL,
    for_s INTEGER NOT NULL,
    clear_s INTEGER NOT NULL,
    modid INTEGER,
    cmdid INTEGER
) STRICT;

-- unless table AlertSilence
CREATE TABLE IF NOT EXISTS AlertSilence (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    rule_id INTEGER,
    modid INTEGER,
    cmdid INTEGER,
    node TEXT,
    why TEXT NOT NULL,
    who TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    ends_at INTEGER NOT NULL
) STRICT;

-- unless table AlertWebhook
CREATE TABLE IF NOT EXISTS AlertWebhook (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    title TEXT NOT NULL,
    url TEXT NOT NULL,
    secret TEXT NOT NULL,
    enabled INTEGER NOT NULL
) STRICT;

-- unless table ConsoleState
CREATE TABLE IF NOT EXISTS ConsoleState (
    name TEXT NOT NULL,
    content TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (name)
) STRICT, WITHOUT ROWID;
