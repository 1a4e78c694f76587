-- Least rights of relay in the database: sql/README.md, Grants. Made from grants.ts.
GRANT SELECT, INSERT, UPDATE, DELETE ON lars_dns.RelayMail TO 'lars_relay'@'%';
GRANT SELECT, INSERT, UPDATE, DELETE ON lars_dns.RelayMailbox TO 'lars_relay'@'%';
GRANT SELECT ON lars_dns.SchemaMigration TO 'lars_relay'@'%';
