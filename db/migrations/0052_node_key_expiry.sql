-- Key expiry that is switched off keeps what it was, for when it is switched on again; a tagged node keeps whose it was, for
-- when its tags are taken off.
ALTER TABLE node ADD COLUMN expiry_disabled INTEGER NOT NULL DEFAULT 0 CHECK (expiry_disabled IN (0, 1));
ALTER TABLE node ADD COLUMN kept_expires_ms INTEGER;
ALTER TABLE node ADD COLUMN former_user_id INTEGER;						-- may name a user that is gone
