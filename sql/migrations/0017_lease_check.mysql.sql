-- What discovery checks of a node that registered itself.

-- unless column Lease node_check
ALTER TABLE `Lease` ADD COLUMN `node_check` varchar(512) NOT NULL DEFAULT '';
