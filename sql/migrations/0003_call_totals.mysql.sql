-- Totals beside the window counts, which each report overwrites.

-- unless column ServerCallStatus succ_total
ALTER TABLE `ServerCallStatus` ADD COLUMN `succ_total` bigint unsigned NOT NULL DEFAULT 0;

-- unless column ServerCallStatus err_total
ALTER TABLE `ServerCallStatus` ADD COLUMN `err_total` bigint unsigned NOT NULL DEFAULT 0;
