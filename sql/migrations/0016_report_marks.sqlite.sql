-- How far the reports of each sender are in the history, written with them in one transaction.

-- unless table ReportMark
CREATE TABLE IF NOT EXISTS ReportMark (
    session INTEGER NOT NULL PRIMARY KEY,
    seq INTEGER NOT NULL CHECK (seq >= 0),
    seen_at INTEGER NOT NULL
) STRICT;

-- unless index ReportMark ReportMark_seen_at
CREATE INDEX IF NOT EXISTS ReportMark_seen_at ON ReportMark(seen_at);
