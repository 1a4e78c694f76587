-- Least rights of all in the database: sql/README.md, Grants. Made from grants.ts.
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX ON lars_dns.* TO 'lars'@'%';
