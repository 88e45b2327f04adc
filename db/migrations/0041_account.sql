-- How a user signs in without an identity provider: a password (Argon2id) and a code (TOTP). One row a user at most.
CREATE TABLE account (
	id         INTEGER PRIMARY KEY,
	tailnet_id INTEGER NOT NULL REFERENCES tailnet(id),
	user_id    INTEGER NOT NULL UNIQUE REFERENCES user(id),
	password   TEXT NOT NULL CHECK (length(password) <= 255),		-- as libsodium's crypto_pwhash_str writes it
	totp       BLOB NOT NULL CHECK (length(totp) = 20),
	totp_step  INTEGER NOT NULL,						-- of the newest code that was used: none works twice
	created_ms INTEGER NOT NULL,
	changed_ms INTEGER NOT NULL
) STRICT;
