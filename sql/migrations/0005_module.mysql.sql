-- Names and policies of modules, and changes of routes that were meant however much they remove.

-- unless table Module
CREATE TABLE IF NOT EXISTS `Module` (
    `modid` int unsigned NOT NULL,
    `cmdid` int unsigned NOT NULL,
    `name` varchar(128) NOT NULL DEFAULT '',
    `policy` text NOT NULL,
    `updated_at` bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (`modid`, `cmdid`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- unless column RouteChange meant
ALTER TABLE `RouteChange` ADD COLUMN `meant` tinyint unsigned NOT NULL DEFAULT 0;
