-- Leases of nodes that register themselves, beside the routes that they become.

-- unless table Lease
CREATE TABLE IF NOT EXISTS `Lease` (
    `modid` int unsigned NOT NULL,
    `cmdid` int unsigned NOT NULL,
    `ip` int unsigned NOT NULL,
    `port` int unsigned NOT NULL,
    `incarnation` bigint unsigned NOT NULL,
    `holder` bigint unsigned NOT NULL,
    `phase` varchar(8) NOT NULL,
    `ttl_ms` int unsigned NOT NULL,
    `weight` smallint unsigned NOT NULL,
    `zone` varchar(64) NOT NULL,
    `source` varchar(8) NOT NULL,
    `owner` varchar(64) NOT NULL,
    `note` text NOT NULL,
    `since` bigint NOT NULL,
    `written` varchar(400) NOT NULL,
    `hand` varchar(400) NOT NULL,
    `changed` bigint NOT NULL,
    `seq` bigint unsigned NOT NULL,
    PRIMARY KEY (`modid`, `cmdid`, `ip`, `port`),
    KEY `lease_seq` (`seq`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- unless table LeaseSeq
CREATE TABLE IF NOT EXISTS `LeaseSeq` (
    `id` int unsigned NOT NULL,
    `seq` bigint unsigned NOT NULL,
    PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- unless row LeaseSeq 1
INSERT IGNORE INTO `LeaseSeq` (`id`, `seq`) VALUES (1, 0);

-- unless table LeaseHolder
CREATE TABLE IF NOT EXISTS `LeaseHolder` (
    `id` bigint unsigned NOT NULL,
    `address` varchar(128) NOT NULL,
    `beat` bigint unsigned NOT NULL,
    PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- unless table LeaseGuard
CREATE TABLE IF NOT EXISTS `LeaseGuard` (
    `holder` bigint unsigned NOT NULL,
    `modid` int unsigned NOT NULL,
    `cmdid` int unsigned NOT NULL,
    `held` int unsigned NOT NULL,
    `live` int unsigned NOT NULL,
    `since` bigint NOT NULL,
    `confirmed` tinyint unsigned NOT NULL DEFAULT 0,
    PRIMARY KEY (`holder`, `modid`, `cmdid`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
