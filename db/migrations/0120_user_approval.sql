-- Since when a user who appeared by a login waits for an administrator's approval; NULL: it was approved, or nobody had to be.
ALTER TABLE user ADD COLUMN waits_ms INTEGER;
