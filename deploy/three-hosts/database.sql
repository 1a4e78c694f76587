-- The database of Lars (MariaDB or MySQL): mariadb < database.sql, then
-- lars sql migrate --store @FILE, a file that holds the [store] url of lars.conf.
-- Change the password here and there. Rights for each service alone: lars sql grants.
CREATE DATABASE IF NOT EXISTS lars_dns CHARACTER SET utf8mb4;
CREATE USER IF NOT EXISTS 'lars'@'10.0.0.%' IDENTIFIED BY 'change-me';
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX ON lars_dns.* TO 'lars'@'10.0.0.%';
