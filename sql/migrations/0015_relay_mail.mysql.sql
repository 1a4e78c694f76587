-- Messages that a relay keeps for clients that are away.

-- unless table RelayMailbox
CREATE TABLE IF NOT EXISTS `RelayMailbox` (
    `name` varchar(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    `epoch` bigint unsigned NOT NULL,
    `last_seq` bigint unsigned NOT NULL,
    `taken_seq` bigint unsigned NOT NULL,
    `waiting` bigint unsigned NOT NULL,
    `waiting_bytes` bigint unsigned NOT NULL,
    PRIMARY KEY (`name`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

INSERT IGNORE INTO `RelayMailbox` (`name`, `epoch`, `last_seq`, `taken_seq`, `waiting`, `waiting_bytes`)
    VALUES ('', 0, 0, 0, 0, 0);

-- unless table RelayMail
CREATE TABLE IF NOT EXISTS `RelayMail` (
    `name` varchar(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    `seq` bigint unsigned NOT NULL,
    `sender` varchar(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    `id` varchar(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    `state` tinyint unsigned NOT NULL,
    `sent_at_ms` bigint unsigned NOT NULL,
    `expires_at_ms` bigint unsigned NOT NULL,
    `bytes` int unsigned NOT NULL,
    `data` mediumtext NOT NULL,
    PRIMARY KEY (`name`, `seq`),
    UNIQUE KEY `mail_id` (`name`, `sender`, `id`),
    KEY `mail_due` (`state`, `expires_at_ms`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
