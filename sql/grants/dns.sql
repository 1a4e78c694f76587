-- Least rights of dns in the database: sql/README.md, Grants. Made from grants.ts.
GRANT SELECT ON lars_dns.RouteData TO 'lars_dns'@'%';
GRANT SELECT ON lars_dns.RouteVersion TO 'lars_dns'@'%';
GRANT SELECT ON lars_dns.RouteChange TO 'lars_dns'@'%';
GRANT SELECT ON lars_dns.Module TO 'lars_dns'@'%';
GRANT SELECT ON lars_dns.SchemaMigration TO 'lars_dns'@'%';
GRANT SELECT, INSERT, UPDATE, DELETE ON lars_dns.ServiceInstance TO 'lars_dns'@'%';
