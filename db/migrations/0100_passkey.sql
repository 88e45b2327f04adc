-- Passkeys (WebAuthn) with which users sign in without a provider. Public keys only; the secret never leaves the authenticator.
CREATE TABLE passkey (
	id         INTEGER PRIMARY KEY,
	tailnet_id INTEGER NOT NULL REFERENCES tailnet(id),
	user_id    INTEGER NOT NULL REFERENCES user(id),
	credential BLOB NOT NULL CHECK (length(credential) BETWEEN 1 AND 1023),	-- its id, as the authenticator chose it
	cose       BLOB NOT NULL CHECK (length(cose) BETWEEN 1 AND 1024),		-- the public key (COSE_Key)
	sign_count INTEGER NOT NULL CHECK (sign_count BETWEEN 0 AND 4294967295),	-- newest that it showed; 0: it does not count
	name       TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 64),
	synced     INTEGER NOT NULL CHECK (synced IN (0, 1)),				-- its maker keeps a copy elsewhere
	created_ms INTEGER NOT NULL,
	used_ms    INTEGER NOT NULL,							-- 0: never
	UNIQUE (tailnet_id, credential)
) STRICT;
CREATE INDEX passkey_user ON passkey (user_id);
