-- Tailnet lock: the updates of the authority, and the signature of each node's key.
CREATE TABLE lock_aum (
	hash       BLOB PRIMARY KEY CHECK (length(hash) = 32),
	tailnet_id INTEGER NOT NULL REFERENCES tailnet(id),
	id         INTEGER NOT NULL,							-- ascending in the order they came
	raw        BLOB NOT NULL CHECK (length(raw) BETWEEN 1 AND 65536)		-- CBOR
) STRICT, WITHOUT ROWID;

ALTER TABLE node ADD COLUMN key_sig BLOB CHECK (length(key_sig) <= 4096);		-- NULL: the key is not signed
ALTER TABLE pending ADD COLUMN key_sig BLOB CHECK (length(key_sig) <= 4096);
