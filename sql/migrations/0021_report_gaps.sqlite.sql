-- Reports before the mark of their sender that are not in the history yet: a reporter has them on its
-- disk, and writes them when it can.

-- unless table ReportGap
CREATE TABLE IF NOT EXISTS ReportGap (
    session INTEGER NOT NULL,
    seq_from INTEGER NOT NULL CHECK (seq_from >= 0),
    seq_to INTEGER NOT NULL CHECK (seq_to > seq_from),
    seen_at INTEGER NOT NULL,
    PRIMARY KEY (session, seq_from)
) STRICT, WITHOUT ROWID;

-- unless index ReportGap ReportGap_seen_at
CREATE INDEX IF NOT EXISTS ReportGap_seen_at ON ReportGap(seen_at);
