-- Calls that got no node: totals by module and caller, a column of the history, and a rule.

-- A console that watches already gets the new rule once; a new one gets it with the others.
-- unless table RefusedCalls
INSERT INTO AlertRule (kind, title, severity, enabled, threshold, for_s, clear_s)
    SELECT 'calls_refused', 'Calls are refused', 'critical', 1, 0.05, 15, 60
    WHERE EXISTS (SELECT 1 FROM AlertRule)
    AND NOT EXISTS (SELECT 1 FROM AlertRule WHERE kind = 'calls_refused');

-- unless column CallHistory refused
ALTER TABLE CallHistory ADD COLUMN refused INTEGER NOT NULL DEFAULT 0 CHECK (refused >= 0);

-- unless table RefusedCalls
CREATE TABLE IF NOT EXISTS RefusedCalls (
    modid INTEGER NOT NULL CHECK (modid BETWEEN 0 AND 4294967295),
    cmdid INTEGER NOT NULL CHECK (cmdid BETWEEN 0 AND 4294967295),
    caller INTEGER NOT NULL CHECK (caller BETWEEN 0 AND 4294967295),
    overload INTEGER NOT NULL CHECK (overload >= 0),
    unusable INTEGER NOT NULL CHECK (unusable >= 0),
    no_node INTEGER NOT NULL CHECK (no_node >= 0),
    no_route INTEGER NOT NULL CHECK (no_route >= 0),
    ts INTEGER NOT NULL,
    PRIMARY KEY (modid, cmdid, caller)
) STRICT, WITHOUT ROWID;
