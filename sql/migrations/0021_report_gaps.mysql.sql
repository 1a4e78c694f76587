-- Reports before the mark of their sender that are not in the history yet: a reporter has them on its
-- disk, and writes them when it can.

-- unless table ReportGap
CREATE TABLE IF NOT EXISTS `ReportGap` (
    `session` bigint unsigned NOT NULL,
    `seq_from` bigint unsigned NOT NULL,
    `seq_to` bigint unsigned NOT NULL,
    `seen_at` bigint NOT NULL,
    PRIMARY KEY (`session`, `seq_from`),
    KEY `ReportGap_seen_at` (`seen_at`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
