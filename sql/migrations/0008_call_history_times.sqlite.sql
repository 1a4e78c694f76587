-- What calls took: how many told a time, and the sum of those times in milliseconds.

-- unless column CallHistory timed_calls
ALTER TABLE CallHistory
    ADD COLUMN timed_calls INTEGER NOT NULL DEFAULT 0 CHECK (timed_calls >= 0);

-- unless column CallHistory time_ms_sum
ALTER TABLE CallHistory
    ADD COLUMN time_ms_sum INTEGER NOT NULL DEFAULT 0 CHECK (time_ms_sum >= 0);
