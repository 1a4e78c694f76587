-- Which services are alive, as they say themselves.

-- unless table ServiceInstance
CREATE TABLE IF NOT EXISTS `ServiceInstance` (
    `kind` varchar(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    `address` varchar(128) COLLATE utf8mb4_bin NOT NULL,
    `software` varchar(128) NOT NULL,
    `started_at` bigint NOT NULL,
    `seen_at` bigint NOT NULL,
    `detail` text NOT NULL,
    PRIMARY KEY (`kind`, `address`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
