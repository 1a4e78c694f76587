-- How many nodes a module should have for its load: one rule for a module, as JSON.

-- unless table ScaleRule
CREATE TABLE IF NOT EXISTS `ScaleRule` (
    `modid` int unsigned NOT NULL,
    `cmdid` int unsigned NOT NULL,
    `content` text NOT NULL,
    `updated_at` bigint NOT NULL,
    PRIMARY KEY (`modid`, `cmdid`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
