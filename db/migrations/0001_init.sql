-- The first schema. Times are Unix milliseconds; NULL: never, or not yet. Ids come from the core's counters.
-- Lists: tags are one TEXT, a tag a line (a tag holds no line feed); endpoints are 19 bytes each (family 4 or 6,
-- 16 address bytes, port big-endian); routes are 18 bytes each (family, 16 address bytes, prefix length).

CREATE TABLE tailnet (
	id   INTEGER PRIMARY KEY,
	name TEXT NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 255)
) STRICT;

CREATE TABLE user (
	id           INTEGER PRIMARY KEY,
	tailnet_id   INTEGER NOT NULL REFERENCES tailnet(id),
	name         TEXT NOT NULL COLLATE NOCASE CHECK (length(name) BETWEEN 1 AND 255),
	display_name TEXT NOT NULL CHECK (length(display_name) <= 1024),
	email        TEXT NOT NULL CHECK (length(email) <= 1024),
	picture_url  TEXT NOT NULL CHECK (length(picture_url) <= 4096),
	provider     TEXT NOT NULL CHECK (length(provider) <= 64),		-- '': a local user
	provider_id  TEXT NOT NULL CHECK (length(provider_id) <= 2048),		-- issuer/sub
	created_ms   INTEGER NOT NULL
) STRICT;
-- Two people of an identity provider may share a name; local users may not.
CREATE UNIQUE INDEX user_local_name ON user (tailnet_id, name) WHERE provider = '';
CREATE UNIQUE INDEX user_provider_id ON user (tailnet_id, provider_id) WHERE provider_id <> '';

CREATE TABLE authkey (
	id          INTEGER PRIMARY KEY,
	tailnet_id  INTEGER NOT NULL REFERENCES tailnet(id),
	user_id     INTEGER REFERENCES user(id) ON DELETE CASCADE,		-- NULL: tags only
	prefix      TEXT NOT NULL UNIQUE CHECK (length(prefix) = 12),
	hash        BLOB NOT NULL CHECK (length(hash) = 32),			-- BLAKE2b-256 of the secret
	reusable    INTEGER NOT NULL CHECK (reusable IN (0, 1)),
	ephemeral   INTEGER NOT NULL CHECK (ephemeral IN (0, 1)),
	used        INTEGER NOT NULL CHECK (used IN (0, 1)),
	created_ms  INTEGER NOT NULL,
	expires_ms  INTEGER,
	revoked_ms  INTEGER,
	description TEXT NOT NULL CHECK (length(description) <= 4096),
	tags        TEXT NOT NULL CHECK (length(tags) <= 16384)
) STRICT;
CREATE INDEX authkey_user ON authkey (user_id);

CREATE TABLE apikey (
	id           INTEGER PRIMARY KEY,
	tailnet_id   INTEGER NOT NULL REFERENCES tailnet(id),
	prefix       TEXT NOT NULL UNIQUE CHECK (length(prefix) = 12),
	hash         BLOB NOT NULL CHECK (length(hash) = 32),
	created_ms   INTEGER NOT NULL,
	expires_ms   INTEGER,
	last_seen_ms INTEGER							-- lazy
) STRICT;

CREATE TABLE node (
	id              INTEGER PRIMARY KEY,
	tailnet_id      INTEGER NOT NULL REFERENCES tailnet(id),
	user_id         INTEGER REFERENCES user(id),				-- NULL: tagged, owned by no user
	machine_pub     BLOB NOT NULL CHECK (length(machine_pub) = 32),		-- one machine may be a node of several users
	node_pub        BLOB NOT NULL UNIQUE CHECK (length(node_pub) = 32),
	disco_pub       BLOB CHECK (length(disco_pub) = 32),			-- NULL: not known yet
	nl_pub          BLOB CHECK (length(nl_pub) = 32),
	v4              BLOB CHECK (length(v4) = 4),
	v6              BLOB CHECK (length(v6) = 16),
	hostname        TEXT NOT NULL CHECK (length(hostname) <= 1024),		-- as the client says
	given_name      TEXT NOT NULL CHECK (length(given_name) BETWEEN 1 AND 63),
	given_name_auto INTEGER NOT NULL CHECK (given_name_auto IN (0, 1)),
	ephemeral       INTEGER NOT NULL CHECK (ephemeral IN (0, 1)),
	method          INTEGER NOT NULL CHECK (method BETWEEN 0 AND 3),	-- enum register_method
	authkey_id      INTEGER,						-- may name a key that was deleted since
	created_ms      INTEGER NOT NULL,
	expires_ms      INTEGER,
	last_seen_ms    INTEGER,						-- lazy, as the seven below
	was_online      INTEGER NOT NULL CHECK (was_online IN (0, 1)),
	capver          INTEGER NOT NULL,
	home_derp       INTEGER NOT NULL,
	hostinfo        TEXT NOT NULL CHECK (length(hostinfo) <= 65536),	-- compact JSON, as the client sent it
	endpoints       BLOB NOT NULL CHECK (length(endpoints) <= 32 * 19 AND length(endpoints) % 19 = 0),
	tags            TEXT NOT NULL CHECK (length(tags) <= 16384),
	approved_routes BLOB NOT NULL CHECK (length(approved_routes) <= 512 * 18 AND length(approved_routes) % 18 = 0),
	UNIQUE (tailnet_id, given_name),
	UNIQUE (tailnet_id, v4),
	UNIQUE (tailnet_id, v6)
) STRICT;
CREATE INDEX node_user ON node (user_id);

CREATE TABLE pending (
	auth_id      TEXT PRIMARY KEY CHECK (length(auth_id) = 38),
	tailnet_id   INTEGER NOT NULL REFERENCES tailnet(id),
	machine_pub  BLOB NOT NULL CHECK (length(machine_pub) = 32),
	node_pub     BLOB NOT NULL CHECK (length(node_pub) = 32),
	old_node_pub BLOB CHECK (length(old_node_pub) = 32),			-- NULL: no key is replaced
	nl_pub       BLOB CHECK (length(nl_pub) = 32),
	hostname     TEXT NOT NULL CHECK (length(hostname) <= 1024),
	os           TEXT NOT NULL CHECK (length(os) <= 1024),
	hostinfo     TEXT NOT NULL CHECK (length(hostinfo) <= 65536),
	tags         TEXT NOT NULL CHECK (length(tags) <= 16384),
	ephemeral    INTEGER NOT NULL CHECK (ephemeral IN (0, 1)),
	capver       INTEGER NOT NULL,
	created_ms   INTEGER NOT NULL,
	expires_ms   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE policy (								-- every accepted text is a version
	id         INTEGER PRIMARY KEY,
	tailnet_id INTEGER NOT NULL REFERENCES tailnet(id),
	text       TEXT NOT NULL CHECK (length(text) <= 4 * 1024 * 1024),
	author     TEXT NOT NULL CHECK (length(author) <= 1024),
	note       TEXT NOT NULL CHECK (length(note) <= 4096),
	created_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX policy_newest ON policy (tailnet_id, id);

CREATE TABLE setting (
	tailnet_id INTEGER NOT NULL,						-- 0: counters and marks of the server
	key        TEXT NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
	value      TEXT NOT NULL CHECK (length(value) <= 4 * 1024 * 1024),
	PRIMARY KEY (tailnet_id, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE server_key (							-- Noise, DERP, TLS …: a copy of this file is the server
	name  TEXT PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 255),
	value BLOB NOT NULL CHECK (length(value) <= 1024 * 1024)
) STRICT, WITHOUT ROWID;

CREATE TABLE durable (								-- how far this run's sequence has come
	id  INTEGER PRIMARY KEY CHECK (id = 1),
	seq INTEGER NOT NULL
) STRICT;
INSERT INTO durable (id, seq) VALUES (1, 0);
