-- A policy that somebody is still writing, one a person: kept so that a closed browser loses nothing. Never applies.
CREATE TABLE draft (
	id         INTEGER PRIMARY KEY,
	tailnet_id INTEGER NOT NULL REFERENCES tailnet(id),
	owner      TEXT NOT NULL CHECK (length(owner) BETWEEN 1 AND 1024),	-- 'user:7', or what a key or the command line is called
	text       TEXT NOT NULL,
	base       INTEGER NOT NULL,	-- the version that it was made of
	updated_ms INTEGER NOT NULL,
	UNIQUE (tailnet_id, owner)
) STRICT;
