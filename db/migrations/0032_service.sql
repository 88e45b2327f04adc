-- VIP services: a name and two addresses of their own, which approved hosts answer at.
CREATE TABLE service (
	id          INTEGER PRIMARY KEY,
	tailnet_id  INTEGER NOT NULL REFERENCES tailnet(id),
	name        TEXT NOT NULL CHECK (length(name) BETWEEN 5 AND 67),		-- svc: and a DNS label
	v4          BLOB CHECK (length(v4) = 4),
	v6          BLOB CHECK (length(v6) = 16),
	comment     TEXT NOT NULL CHECK (length(comment) <= 4096),
	annotations TEXT NOT NULL CHECK (length(annotations) <= 65536),		-- JSON object of texts, as it was given
	ports       TEXT NOT NULL CHECK (length(ports) <= 16384),			-- "tcp:443", one a line
	tags        TEXT NOT NULL CHECK (length(tags) <= 16384),
	approved    TEXT NOT NULL CHECK (length(approved) <= 16384),			-- ids of nodes that an admin approved, one a line
	hosts       TEXT NOT NULL CHECK (length(hosts) <= 16384),			-- … that advertise it
	created_ms  INTEGER NOT NULL,
	UNIQUE (tailnet_id, name)
) STRICT;
