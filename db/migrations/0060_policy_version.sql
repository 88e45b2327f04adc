-- Versions of a policy are counted 1, 2, 3 … in each tailnet: ids come from a counter that all rows share.
ALTER TABLE policy ADD COLUMN version INTEGER NOT NULL DEFAULT 0;
UPDATE policy SET version = (SELECT count(*) FROM policy AS p WHERE p.tailnet_id = policy.tailnet_id AND p.id <= policy.id);
CREATE UNIQUE INDEX policy_version ON policy (tailnet_id, version);
