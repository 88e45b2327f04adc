-- What people asked for on /my because they cannot reach it, until somebody who writes the policy has answered.
CREATE TABLE wish (
	id         INTEGER PRIMARY KEY,
	tailnet_id INTEGER NOT NULL REFERENCES tailnet(id),
	user_id    INTEGER NOT NULL REFERENCES user(id),
	what       TEXT NOT NULL CHECK (length(what) BETWEEN 1 AND 120),	-- what to reach, in the person's words
	why        TEXT NOT NULL CHECK (length(why) <= 400),
	created_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX wish_user ON wish (user_id);
