-- What calls took: how many told a time, and the sum of those times in milliseconds.

-- unless column CallHistory timed_calls
ALTER TABLE `CallHistory` ADD COLUMN `timed_calls` bigint unsigned NOT NULL DEFAULT 0;

-- unless column CallHistory time_ms_sum
ALTER TABLE `CallHistory` ADD COLUMN `time_ms_sum` bigint unsigned NOT NULL DEFAULT 0;
