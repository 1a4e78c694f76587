-- Only MySQL and MariaDB tell signed from unsigned columns; here nothing changes.

-- unless unsigned ServerCallStatus caller
SELECT 1;
