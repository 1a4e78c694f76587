-- Calls that got no node: totals by module and caller, a column of the history, and a rule.

-- A console that watches already gets the new rule once; a new one gets it with the others.
-- unless table RefusedCalls
INSERT INTO `AlertRule` (`kind`, `title`, `severity`, `enabled`, `threshold`, `for_s`, `clear_s`)
    SELECT 'calls_refused', 'Calls are refused', 'critical', 1, 0.05, 15, 60 FROM DUAL
    WHERE EXISTS (SELECT 1 FROM `AlertRule`)
    AND NOT EXISTS (SELECT 1 FROM `AlertRule` WHERE `kind` = 'calls_refused');

-- unless column CallHistory refused
ALTER TABLE `CallHistory` ADD COLUMN `refused` bigint unsigned NOT NULL DEFAULT 0;

-- unless table RefusedCalls
CREATE TABLE IF NOT EXISTS `RefusedCalls` (
    `modid` int unsigned NOT NULL,
    `cmdid` int unsigned NOT NULL,
    `caller` int unsigned NOT NULL,
    `overload` bigint unsigned NOT NULL,
    `unusable` bigint unsigned NOT NULL,
    `no_node` bigint unsigned NOT NULL,
    `no_route` bigint unsigned NOT NULL,
    `ts` bigint NOT NULL,
    PRIMARY KEY (`modid`, `cmdid`, `caller`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
