-- What a server of schema 1 left behind: sqlite3's .dump of a file with a row a table. Never edited: it is what old files look like.
PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE schema_migration (version INTEGER PRIMARY KEY, name TEXT NOT NULL, hash BLOB NOT NULL CHECK (length(hash) = 32), applied_ms INTEGER NOT NULL) STRICT;
INSERT INTO schema_migration VALUES(1,'0001_init',X'30e46f16aff4aca69655393ccbd2c10a35eb2a50111e57d7b5607f8a587d7ad9',1795354935222);
CREATE TABLE tailnet (
	id   INTEGER PRIMARY KEY,
	name TEXT NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 255)
) STRICT;
INSERT INTO tailnet VALUES(1,'default');
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
INSERT INTO user VALUES(4,1,'user4','Ann Ümlaut','ann@example.com','https://example.com/a.png','oidc','https://idp/4',1700000000004);
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
INSERT INTO authkey VALUES(2,1,4,'000000000002',X'a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5',1,0,1,5,6,7,'for CI',replace('tag:k00\ntag:k01\ntag:k02','\n',char(10)));
CREATE TABLE apikey (
	id           INTEGER PRIMARY KEY,
	tailnet_id   INTEGER NOT NULL REFERENCES tailnet(id),
	prefix       TEXT NOT NULL UNIQUE CHECK (length(prefix) = 12),
	hash         BLOB NOT NULL CHECK (length(hash) = 32),
	created_ms   INTEGER NOT NULL,
	expires_ms   INTEGER,
	last_seen_ms INTEGER							-- lazy
) STRICT;
INSERT INTO apikey VALUES(3,1,'000000000003',X'5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a',1,2,3);
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
INSERT INTO node VALUES(9,1,4,X'6462b660a1fecc3d6973a0995d7c917945f4a7ca7ca5dd2a99dd35d65c53b99c',X'12ee37748026413507de5c0e4924a21c08a1165b9a3300df1c1c051ac3ddd963',X'3a3b897ab117002654ba472f7f5910e0b1dbbaf3713d319bda40dfb5d0601465',X'5d7c8d0d02708c71c2f3d766094884d3ad3b3eb070ac480080280546dea4d4d5',X'64400009',X'fd7a0000000000000000000000000009','Ann''s laptop','laptop-9',1,1,3,77,1700000000001,1800000000002,1700000000003,1,113,900,'{"OS":"linux"}',X'04c0000201000000000000000000000000a2a90620010000000000000000000000000009ffff',replace('tag:t00\ntag:t01','\n',char(10)),X'040a00000000000000000000000000000008060000000000000000000000000000000000');
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
INSERT INTO pending VALUES('hskey-authreq-000000000000000000000005',1,X'0101010101010101010101010101010101010101010101010101010101010101',X'0202020202020202020202020202020202020202020202020202020202020202',X'0303030303030303030303030303030303030303030303030303030303030303',X'0404040404040404040404040404040404040404040404040404040404040404','phone','iOS','{}','tag:p00',1,113,1,2);
CREATE TABLE policy (								-- every accepted text is a version
	id         INTEGER PRIMARY KEY,
	tailnet_id INTEGER NOT NULL REFERENCES tailnet(id),
	text       TEXT NOT NULL CHECK (length(text) <= 4 * 1024 * 1024),
	author     TEXT NOT NULL CHECK (length(author) <= 1024),
	note       TEXT NOT NULL CHECK (length(note) <= 4096),
	created_ms INTEGER NOT NULL
) STRICT;
INSERT INTO policy VALUES(2,1,'{}','cli','n',8);
CREATE TABLE setting (
	tailnet_id INTEGER NOT NULL,						-- 0: counters and marks of the server
	key        TEXT NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
	value      TEXT NOT NULL CHECK (length(value) <= 4 * 1024 * 1024),
	PRIMARY KEY (tailnet_id, key)
) STRICT, WITHOUT ROWID;
INSERT INTO setting VALUES(0,'next_id','11');
CREATE TABLE server_key (							-- Noise, DERP, TLS …: a copy of this file is the server
	name  TEXT PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 255),
	value BLOB NOT NULL CHECK (length(value) <= 1024 * 1024)
) STRICT, WITHOUT ROWID;
INSERT INTO server_key VALUES('noise',X'0000000000000000000000000000000000000000000000000000000000000000');
CREATE TABLE durable (								-- how far this run's sequence has come
	id  INTEGER PRIMARY KEY CHECK (id = 1),
	seq INTEGER NOT NULL
) STRICT;
INSERT INTO durable VALUES(1,1);
CREATE UNIQUE INDEX user_local_name ON user (tailnet_id, name) WHERE provider = '';
CREATE UNIQUE INDEX user_provider_id ON user (tailnet_id, provider_id) WHERE provider_id <> '';
CREATE INDEX authkey_user ON authkey (user_id);
CREATE INDEX node_user ON node (user_id);
CREATE INDEX policy_newest ON policy (tailnet_id, id);
COMMIT;
