-- Messages that a relay keeps for clients that are away.

-- unless table RelayMailbox
CREATE TABLE IF NOT EXISTS RelayMailbox (
    name TEXT NOT NULL PRIMARY KEY,
    epoch INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    taken_seq INTEGER NOT NULL,
    waiting INTEGER NOT NULL CHECK (waiting >= 0),
    waiting_bytes INTEGER NOT NULL CHECK (waiting_bytes >= 0)
) STRICT, WITHOUT ROWID;

INSERT OR IGNORE INTO RelayMailbox (name, epoch, last_seq, taken_seq, waiting, waiting_bytes)
    VALUES ('', 0, 0, 0, 0, 0);

-- unless table RelayMail
CREATE TABLE IF NOT EXISTS RelayMail (
    name TEXT NOT NULL,
    seq INTEGER NOT NULL,
    sender TEXT NOT NULL,
    id TEXT NOT NULL,
    state INTEGER NOT NULL,
    sent_at_ms INTEGER NOT NULL,
    expires_at_ms INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    data TEXT NOT NULL,
    PRIMARY KEY (name, seq)
) STRICT, WITHOUT ROWID;

-- unless index RelayMail mail_id
CREATE UNIQUE INDEX IF NOT EXISTS mail_id ON RelayMail (name, sender, id);

-- unless index RelayMail mail_due
CREATE INDEX IF NOT EXISTS mail_due ON RelayMail (state, expires_at_ms);
