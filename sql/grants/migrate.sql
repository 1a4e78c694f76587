-- Least rights of migrate in the database: sql/README.md, Grants. Made from grants.ts.
GRANT SELECT, INSERT, CREATE, ALTER, INDEX ON lars_dns.* TO 'lars_migrate'@'%';
GRANT UPDATE, DELETE ON lars_dns.ServerCallStatus TO 'lars_migrate'@'%';
