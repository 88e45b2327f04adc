-- What a user may do (enum user_role), and since when its devices are cut off; NULL: they are not.
ALTER TABLE user ADD COLUMN role INTEGER NOT NULL DEFAULT 0 CHECK (role BETWEEN 0 AND 6);
ALTER TABLE user ADD COLUMN suspended_ms INTEGER;
