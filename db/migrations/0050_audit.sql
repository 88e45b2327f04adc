-- Who changed what: one record a row that a change touched, written in the transaction of the change itself.
-- Ids come from a counter of the core of their own and ascend with the commits; they are the sequence of the event stream.
CREATE TABLE audit (
	id         INTEGER PRIMARY KEY,
	group_id   INTEGER NOT NULL,						-- id of the first record of the same change
	tailnet_id INTEGER NOT NULL,
	at_ms      INTEGER NOT NULL,
	via        TEXT NOT NULL CHECK (length(via) <= 32),			-- cli, v1, v2, native, console, oidc, node, file, system
	actor      TEXT NOT NULL CHECK (length(actor) <= 512),
	address    TEXT NOT NULL CHECK (length(address) <= 64),
	action     TEXT NOT NULL CHECK (length(action) <= 32),			-- create, update, delete
	kind       TEXT NOT NULL CHECK (length(kind) <= 32),			-- node, user, authkey, apikey, policy, setting, login, …
	target_id  TEXT NOT NULL CHECK (length(target_id) <= 512),
	target     TEXT NOT NULL CHECK (length(target) <= 2048),		-- its name at that time
	before     TEXT NOT NULL CHECK (length(before) <= 65536),		-- compact JSON of what changed; '': it was not there
	after      TEXT NOT NULL CHECK (length(after) <= 65536)
) STRICT;
CREATE INDEX audit_time ON audit (at_ms);
CREATE INDEX audit_target ON audit (kind, target_id);
CREATE INDEX audit_via ON audit (via, id);
