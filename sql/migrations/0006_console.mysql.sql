-- What the console keeps: who may do what, what was done, and what to be told about.
-- Instants are in milliseconds since 1970.

-- unless table ConsoleUser
CREATE TABLE IF NOT EXISTS `ConsoleUser` (
    `name` varchar(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    `role` varchar(16) NOT NULL,
    `password` varchar(255) NOT NULL,
    `must_change` tinyint NOT NULL,
    `disabled` tinyint NOT NULL,
    `created_at` bigint NOT NULL,
    `login_at` bigint NOT NULL,
    PRIMARY KEY (`name`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- unless table ConsoleSession
CREATE TABLE IF NOT EXISTS `ConsoleSession` (
    `hash` char(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    `user_name` varchar(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    `created_at` bigint NOT NULL,
    `seen_at` bigint NOT NULL,
    `expires_at` bigint NOT NULL,
    PRIMARY KEY (`hash`),
    KEY `session_user` (`user_name`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- unless table ConsoleToken
CREATE TABLE IF NOT EXISTS `ConsoleToken` (
    `id` bigint unsigned NOT NULL AUTO_INCREMENT,
    `title` varchar(64) NOT NULL,
    `owner` varchar(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    `role` varchar(16) NOT NULL,
    `hash` char(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    `created_at` bigint NOT NULL,
    `expires_at` bigint NOT NULL,
    `used_at` bigint NOT NULL,
    PRIMARY KEY (`id`),
    UNIQUE KEY `token_hash` (`hash`),
    KEY `token_owner` (`owner`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- unless table ConsoleAudit
CREATE TABLE IF NOT EXISTS `ConsoleAudit` (
    `id` bigint unsigned NOT NULL AUTO_INCREMENT,
    `at` bigint NOT NULL,
    `who` varchar(64) NOT NULL,
    `action` varchar(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    `target` varchar(200) NOT NULL,
    `outcome` varchar(16) NOT NULL,
    `detail` text NOT NULL,
    `address` varchar(64) NOT NULL,
    PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- unless table ConsoleChange
CREATE TABLE IF NOT EXISTS `ConsoleChange` (
    `id` bigint unsigned NOT NULL AUTO_INCREMENT,
    `at` bigint NOT NULL,
    `who` varchar(64) NOT NULL,
    `via` varchar(16) NOT NULL,
    `why` varchar(500) NOT NULL,
    `summary` varchar(500) NOT NULL,
    `module_count` int unsigned NOT NULL,
    `node_count` int unsigned NOT NULL,
    `undoes` bigint unsigned NOT NULL,
    `undone_by` bigint unsigned NOT NULL,
    PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- unless table ConsoleChangeModule
CREATE TABLE IF NOT EXISTS `ConsoleChangeModule` (
    `modid` int unsigned NOT NULL,
    `cmdid` int unsigned NOT NULL,
    `change_id` bigint unsigned NOT NULL,
    PRIMARY KEY (`modid`, `cmdid`, `change_id`),
    KEY `change_module` (`change_id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- unless table ConsoleChangePart
CREATE TABLE IF NOT EXISTS `ConsoleChangePart` (
    `change_id` bigint unsigned NOT NULL,
    `part` int unsigned NOT NULL,
    `content` mediumtext NOT NULL,
    PRIMARY KEY (`change_id`, `part`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- unless table AlertRule
CREATE TABLE IF NOT EXISTS `AlertRule` (
    `id` bigint unsigned NOT NULL AUTO_INCREMENT,
    `kind` varchar(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    `title` varchar(64) NOT NULL,
    `severity` varchar(16) NOT NULL,
    `enabled` tinyint NOT NULL,
    `threshold` double NOT NULL,
    `for_s` int unsigned NOT NULL,
    `clear_s` int unsigned NOT NULL,
    `modid` int unsigned NULL,
    `cmdid` int unsigned NULL,
    PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- unless table AlertSilence
CREATE TABLE IF NOT EXISTS `AlertSilence` (
    `id` bigint unsigned NOT NULL AUTO_INCREMENT,
    `rule_id` bigint unsigned NULL,
    `modid` int unsigned NULL,
    `cmdid` int unsigned NULL,
    `node` varchar(32) NULL,
    `why` varchar(500) NOT NULL,
    `who` varchar(64) NOT NULL,
    `created_at` bigint NOT NULL,
    `ends_at` bigint NOT NULL,
    PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- unless table AlertWebhook
CREATE TABLE IF NOT EXISTS `AlertWebhook` (
    `id` bigint unsigned NOT NULL AUTO_INCREMENT,
    `title` varchar(64) NOT NULL,
    `url` varchar(500) NOT NULL,
    `secret` varchar(200) NOT NULL,
    `enabled` tinyint NOT NULL,
    PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- unless table ConsoleState
CREATE TABLE IF NOT EXISTS `ConsoleState` (
    `name` varchar(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    `content` mediumtext NOT NULL,
    `expires_at` bigint NOT NULL,
    PRIMARY KEY (`name`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
