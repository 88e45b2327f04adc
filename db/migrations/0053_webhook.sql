-- Who is told of changes by HTTP. The queue is the audit log itself: cursor is the last record that the endpoint has had.
CREATE TABLE webhook (
	id            INTEGER PRIMARY KEY,
	tailnet_id    INTEGER NOT NULL REFERENCES tailnet(id),
	url           TEXT NOT NULL CHECK (length(url) BETWEEN 1 AND 2048),
	provider      TEXT NOT NULL CHECK (length(provider) <= 32),		-- '': Tailscale's own form
	secret        TEXT NOT NULL CHECK (length(secret) <= 256),		-- in clear: it signs
	subscriptions TEXT NOT NULL CHECK (length(subscriptions) <= 4096),	-- words with spaces between
	creator       TEXT NOT NULL CHECK (length(creator) <= 1024),
	created_ms    INTEGER NOT NULL,
	updated_ms    INTEGER NOT NULL,
	cursor        INTEGER NOT NULL						-- lazy: an event may be told twice, never not at all
) STRICT;
