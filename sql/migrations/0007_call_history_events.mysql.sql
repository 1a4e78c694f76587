-- What happened over time: call results in time buckets, and events.

-- unless table CallHistory
CREATE TABLE IF NOT EXISTS `CallHistory` (
    `step_s` smallint unsigned NOT NULL,
    `grain` tinyint unsigned NOT NULL,
    `bucket_at` bigint NOT NULL,
    `modid` int unsigned NOT NULL,
    `cmdid` int unsigned NOT NULL,
    `ip` int unsigned NOT NULL,
    `port` int unsigned NOT NULL,
    `caller` int unsigned NOT NULL,
    `source` int unsigned NOT NULL,
    `succ` bigint unsigned NOT NULL,
    `err` bigint unsigned NOT NULL,
    `reports` bigint unsigned NOT NULL,
    `overload_reports` bigint unsigned NOT NULL,
    PRIMARY KEY (`step_s`, `grain`, `bucket_at`, `modid`, `cmdid`, `ip`, `port`, `caller`, `source`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- unless table CallHistoryStep
CREATE TABLE IF NOT EXISTS `CallHistoryStep` (
    `id` smallint unsigned NOT NULL,
    `rolled_to` bigint NOT NULL,
    `deleted_to` bigint NOT NULL,
    `keep_s` bigint NOT NULL,
    PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- unless row CallHistoryStep 10
INSERT IGNORE INTO `CallHistoryStep` (`id`, `rolled_to`, `deleted_to`, `keep_s`)
    VALUES (10, 0, 0, 21600);

-- unless row CallHistoryStep 60
INSERT IGNORE INTO `CallHistoryStep` (`id`, `rolled_to`, `deleted_to`, `keep_s`)
    VALUES (60, 0, 0, 259200);

-- unless row CallHistoryStep 3600
INSERT IGNORE INTO `CallHistoryStep` (`id`, `rolled_to`, `deleted_to`, `keep_s`)
    VALUES (3600, 0, 0, 7776000);

-- unless table Event
CREATE TABLE IF NOT EXISTS `Event` (
    `id` bigint unsigned NOT NULL AUTO_INCREMENT,
    `at_ms` bigint NOT NULL,
    `kind` varchar(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    `modid` int unsigned NULL,
    `cmdid` int unsigned NULL,
    `ip` int unsigned NULL,
    `port` int unsigned NULL,
    `host` int unsigned NULL,
    `text` varchar(500) NOT NULL,
    `detail` text NOT NULL,
    PRIMARY KEY (`id`),
    KEY `event_at` (`at_ms`),
    KEY `event_module` (`modid`, `cmdid`, `id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
