-- The tables of the original, column for column, where they are missing.

CREATE TABLE IF NOT EXISTS `RouteData` (
    `id` int(10) unsigned NOT NULL AUTO_INCREMENT,
    `modid` int(10) unsigned NOT NULL,
    `cmdid` int(10) unsigned NOT NULL,
    `serverip` int(10) unsigned NOT NULL,
    `serverport` int(10) unsigned NOT NULL,
    PRIMARY KEY (`id`)
) ENGINE=InnoDB AUTO_INCREMENT=116064 DEFAULT CHARSET=utf8;

CREATE TABLE IF NOT EXISTS `RouteVersion` (
    `id` int(10) unsigned NOT NULL AUTO_INCREMENT,
    `version` int(10) unsigned NOT NULL,
    PRIMARY KEY (`id`)
) ENGINE=InnoDB;

-- unless row RouteVersion 1
INSERT IGNORE INTO `RouteVersion` (`id`, `version`) VALUES (1, 0);

CREATE TABLE IF NOT EXISTS `RouteChange` (
    `id` int(10) unsigned NOT NULL AUTO_INCREMENT,
    `modid` int(10) unsigned NOT NULL,
    `cmdid` int(10) unsigned NOT NULL,
    `version` bigint(20) unsigned NOT NULL,
    PRIMARY KEY (`id`)
) ENGINE=InnoDB;

CREATE TABLE IF NOT EXISTS `ServerCallStatus` (
    `modid` int(11) NOT NULL,
    `cmdid` int(11) NOT NULL,
    `ip` int(11) NOT NULL,
    `port` int(11) NOT NULL,
    `caller` int(11) NOT NULL,
    `succ_cnt` int(11) NOT NULL,
    `err_cnt` int(11) NOT NULL,
    `ts` bigint(20) NOT NULL,
    `overload` char(1) NOT NULL,
    PRIMARY KEY (`modid`,`cmdid`,`ip`,`port`,`caller`),
    KEY `mlb_index` (`modid`,`cmdid`,`ip`,`port`,`caller`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8;

-- Which migrations this database has seen.
CREATE TABLE IF NOT EXISTS `SchemaMigration` (
    `version` int unsigned NOT NULL,
    `name` varchar(100) NOT NULL,
    `applied_at` bigint NOT NULL,
    PRIMARY KEY (`version`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
