-- What a node may take, where it stands, and whether it is in service.

-- unless column RouteData weight
ALTER TABLE RouteData
    ADD COLUMN weight INTEGER NOT NULL DEFAULT 100 CHECK (weight BETWEEN 0 AND 65535);

-- unless column RouteData zone
ALTER TABLE RouteData ADD COLUMN zone TEXT NOT NULL DEFAULT '' CHECK (length(zone) <= 64);

-- unless column RouteData state
ALTER TABLE RouteData
    ADD COLUMN state TEXT NOT NULL DEFAULT 'on' CHECK (state IN ('on', 'drain', 'off'));

-- unless index RouteData route_module
CREATE INDEX route_module ON RouteData (modid, cmdid);
