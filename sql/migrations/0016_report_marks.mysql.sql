-- How far the reports of each sender are in the history, written with them in one transaction.

-- unless table ReportMark
CREATE TABLE IF NOT EXISTS `ReportMark` (
    `session` bigint unsigned NOT NULL,
    `seq` bigint unsigned NOT NULL,
    `seen_at` bigint NOT NULL,
    PRIMARY KEY (`session`),
    KEY `ReportMark_seen_at` (`seen_at`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
