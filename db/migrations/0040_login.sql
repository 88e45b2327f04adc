-- Who signs in, and where they are signed in.

-- An account at an identity provider: (issuer, subject) is one person for ever. A user may have several.
CREATE TABLE identity (
	id            INTEGER PRIMARY KEY,
	tailnet_id    INTEGER NOT NULL REFERENCES tailnet(id),
	user_id       INTEGER NOT NULL REFERENCES user(id),
	provider      TEXT NOT NULL CHECK (length(provider) <= 64),		-- its name in the configuration
	issuer        TEXT NOT NULL CHECK (length(issuer) BETWEEN 1 AND 2048),
	subject       TEXT NOT NULL CHECK (length(subject) BETWEEN 1 AND 255),
	login         TEXT NOT NULL CHECK (length(login) <= 1024),		-- as the provider said last
	groups        TEXT NOT NULL CHECK (length(groups) <= 65536),		-- one a line, sorted
	refresh_token TEXT NOT NULL CHECK (length(refresh_token) <= 8192),	-- '': none
	created_ms    INTEGER NOT NULL,
	login_ms      INTEGER NOT NULL,						-- last login; 0: linked, never used
	checked_ms    INTEGER NOT NULL,						-- when the provider last vouched for it
	gone_ms       INTEGER,							-- NULL: as far as we know it is there
	UNIQUE (tailnet_id, issuer, subject)
) STRICT;
CREATE INDEX identity_user ON identity (user_id);

CREATE TABLE signin (
	id          INTEGER PRIMARY KEY,
	tailnet_id  INTEGER NOT NULL REFERENCES tailnet(id),
	user_id     INTEGER NOT NULL REFERENCES user(id),
	identity_id INTEGER,							-- NULL: a local login
	kind        INTEGER NOT NULL CHECK (kind BETWEEN 0 AND 1),		-- enum signin_kind
	hash        BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),		-- BLAKE2b-256 of the token
	provider_sid TEXT NOT NULL CHECK (length(provider_sid) <= 255),		-- the provider's name of it, for back-channel logout
	remote      TEXT NOT NULL CHECK (length(remote) <= 64),
	agent       TEXT NOT NULL CHECK (length(agent) <= 255),
	created_ms  INTEGER NOT NULL,
	auth_ms     INTEGER NOT NULL,						-- when its person last proved who they are
	expires_ms  INTEGER NOT NULL,
	node_expires_ms INTEGER							-- of keys of devices that it connects; NULL: the default
) STRICT;
CREATE INDEX signin_user ON signin (user_id);

-- Where a waiting device asked from, for the person who is asked; '': not known.
ALTER TABLE pending ADD COLUMN remote TEXT NOT NULL DEFAULT '' CHECK (length(remote) <= 64);
