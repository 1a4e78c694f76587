-- What messages to a webhook look like, and its times.

-- unless column AlertWebhook format
ALTER TABLE `AlertWebhook` ADD COLUMN `format` varchar(16) NOT NULL DEFAULT 'lars';

-- unless column AlertWebhook timeout_s
ALTER TABLE `AlertWebhook` ADD COLUMN `timeout_s` int unsigned NOT NULL DEFAULT 10;

-- unless column AlertWebhook group_s
ALTER TABLE `AlertWebhook` ADD COLUMN `group_s` int unsigned NOT NULL DEFAULT 0;
