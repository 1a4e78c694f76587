-- Addresses of call results as unsigned numbers, as in the latest sources of the original. Rows with
-- negative ones, which our reporter wrote before, are kept: first the columns take both, then the
-- numbers change, then nothing negative is left that the last statement could trip over.

-- unless unsigned ServerCallStatus caller
ALTER TABLE `ServerCallStatus` MODIFY `ip` bigint NOT NULL, MODIFY `port` bigint NOT NULL,
    MODIFY `caller` bigint NOT NULL;

-- unless unsigned ServerCallStatus caller
UPDATE IGNORE `ServerCallStatus` SET `ip` = `ip` & 4294967295, `port` = `port` & 4294967295,
    `caller` = `caller` & 4294967295 WHERE `ip` < 0 OR `port` < 0 OR `caller` < 0;

-- What is left has a row under the same address already.
-- unless unsigned ServerCallStatus caller
DELETE FROM `ServerCallStatus` WHERE `ip` < 0 OR `port` < 0 OR `caller` < 0;

-- unless unsigned ServerCallStatus caller
ALTER TABLE `ServerCallStatus` MODIFY `ip` int(11) unsigned NOT NULL,
    MODIFY `port` int(11) unsigned NOT NULL, MODIFY `caller` int(11) unsigned NOT NULL;
