-- Names of module and command numbers, which the console of the original reads in its latest sources
-- and ends with an error without.

-- unless table ModIDConfig
CREATE TABLE IF NOT EXISTS `ModIDConfig` (
    `id` int(10) unsigned NOT NULL AUTO_INCREMENT,
    `modid` int(10) unsigned NOT NULL,
    `content` char(255) NOT NULL,
    PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- unless table CmdIDConfig
CREATE TABLE IF NOT EXISTS `CmdIDConfig` (
    `id` int(10) unsigned NOT NULL AUTO_INCREMENT,
    `cmdid` int(10) unsigned NOT NULL,
    `content` char(255) NOT NULL,
    PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
