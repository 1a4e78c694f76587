-- Least rights of reporter in the database: sql/README.md, Grants. Made from grants.ts.
GRANT SELECT, INSERT, UPDATE, DELETE ON lars_dns.ServerCallStatus TO 'lars_reporter'@'%';
GRANT SELECT ON lars_dns.SchemaMigration TO 'lars_reporter'@'%';
GRANT SELECT, INSERT, UPDATE, DELETE ON lars_dns.ServiceInstance TO 'lars_reporter'@'%';
GRANT SELECT, INSERT, UPDATE, DELETE ON lars_dns.CallHistory TO 'lars_reporter'@'%';
GRANT SELECT, INSERT, UPDATE ON lars_dns.CallHistoryStep TO 'lars_reporter'@'%';
GRANT SELECT, INSERT, DELETE ON lars_dns.Event TO 'lars_reporter'@'%';
GRANT SELECT, INSERT, UPDATE, DELETE ON lars_dns.RefusedCalls TO 'lars_reporter'@'%';
GRANT SELECT, INSERT, UPDATE, DELETE ON lars_dns.ReportMark TO 'lars_reporter'@'%';
GRANT SELECT, INSERT, DELETE ON lars_dns.ReportGap TO 'lars_reporter'@'%';
