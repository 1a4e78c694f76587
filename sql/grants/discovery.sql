-- Least rights of discovery in the database: sql/README.md, Grants. Made from grants.ts.
GRANT SELECT, INSERT, UPDATE, DELETE ON lars_dns.RouteData TO 'lars_discovery'@'%';
GRANT SELECT, INSERT, UPDATE ON lars_dns.RouteVersion TO 'lars_discovery'@'%';
GRANT SELECT, INSERT, DELETE ON lars_dns.RouteChange TO 'lars_discovery'@'%';
GRANT SELECT, INSERT, UPDATE ON lars_dns.Module TO 'lars_discovery'@'%';
GRANT SELECT ON lars_dns.SchemaMigration TO 'lars_discovery'@'%';
GRANT SELECT, INSERT, UPDATE, DELETE ON lars_dns.ServiceInstance TO 'lars_discovery'@'%';
GRANT SELECT, INSERT, UPDATE, DELETE ON lars_dns.Lease TO 'lars_discovery'@'%';
GRANT SELECT, INSERT, UPDATE ON lars_dns.LeaseSeq TO 'lars_discovery'@'%';
GRANT SELECT, INSERT, UPDATE, DELETE ON lars_dns.LeaseHolder TO 'lars_discovery'@'%';
GRANT SELECT, INSERT, UPDATE, DELETE ON lars_dns.LeaseGuard TO 'lars_discovery'@'%';
GRANT SELECT, INSERT ON lars_dns.Event TO 'lars_discovery'@'%';
GRANT SELECT, INSERT, DELETE ON lars_dns.ConsoleAudit TO 'lars_discovery'@'%';
