-- What a node may take, where it stands, and whether it is in service. At the end and with
-- defaults, so that writers that name the original columns go on working.

-- unless column RouteData weight
ALTER TABLE `RouteData` ADD COLUMN `weight` smallint unsigned NOT NULL DEFAULT 100;

-- unless column RouteData zone
ALTER TABLE `RouteData`
    ADD COLUMN `zone` varchar(64) CHARACTER SET utf8mb4 NOT NULL DEFAULT '';

-- unless column RouteData state
ALTER TABLE `RouteData`
    ADD COLUMN `state` enum('on','drain','off') CHARACTER SET ascii NOT NULL DEFAULT 'on';

-- unless index RouteData route_module
ALTER TABLE `RouteData` ADD INDEX `route_module` (`modid`, `cmdid`);
