-- The nodes of a module that its last meant change left: which version meant which nodes.

-- unless column Module meant
ALTER TABLE Module ADD COLUMN meant TEXT NOT NULL DEFAULT '';
