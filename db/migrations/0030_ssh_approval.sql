-- Tailscale SSH, check mode: when a source was last confirmed for a destination. Only the newest counts.
CREATE TABLE ssh_approval (
	src_id      INTEGER NOT NULL REFERENCES node(id) ON DELETE CASCADE,
	dst_id      INTEGER NOT NULL REFERENCES node(id) ON DELETE CASCADE,
	tailnet_id  INTEGER NOT NULL REFERENCES tailnet(id),
	user_id     INTEGER,							-- owner of the source at that time; NULL: tagged
	approved_ms INTEGER NOT NULL,
	PRIMARY KEY (src_id, dst_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX ssh_approval_dst ON ssh_approval (dst_id);
