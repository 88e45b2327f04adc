-- A node that waits for approval (device approval), attributes of nodes for postures (a line each: name, type s, n or b, value,
-- set at, expires at or empty; tabs between), and auth keys whose nodes need no approval.
ALTER TABLE node ADD COLUMN authorized INTEGER NOT NULL DEFAULT 1 CHECK (authorized IN (0, 1));
ALTER TABLE node ADD COLUMN attrs TEXT NOT NULL DEFAULT '' CHECK (length(attrs) <= 65536);
ALTER TABLE authkey ADD COLUMN preauthorized INTEGER NOT NULL DEFAULT 0 CHECK (preauthorized IN (0, 1));
