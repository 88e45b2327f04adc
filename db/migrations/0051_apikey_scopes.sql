-- API keys with an owner and scopes, and beside them OAuth clients and the access tokens that those get.
-- kind: 0 API key, 1 OAuth client, 2 access token.
ALTER TABLE apikey ADD COLUMN kind INTEGER NOT NULL DEFAULT 0 CHECK (kind BETWEEN 0 AND 2);
ALTER TABLE apikey ADD COLUMN user_id INTEGER;						-- whose rights it has at most; NULL: the server's admin
ALTER TABLE apikey ADD COLUMN parent_id INTEGER;					-- of an access token: its client
ALTER TABLE apikey ADD COLUMN scopes TEXT NOT NULL DEFAULT 'all' CHECK (length(scopes) <= 2048);	-- spaces between
ALTER TABLE apikey ADD COLUMN tags TEXT NOT NULL DEFAULT '' CHECK (length(tags) <= 16384);
ALTER TABLE apikey ADD COLUMN description TEXT NOT NULL DEFAULT '' CHECK (length(description) <= 1024);
ALTER TABLE apikey ADD COLUMN updated_ms INTEGER;
ALTER TABLE apikey ADD COLUMN revoked_ms INTEGER;
