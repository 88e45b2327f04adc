-- A federated identity is an OAuth client (kind 1) without a secret: who shows a token of this issuer that fits gets one of ours.
ALTER TABLE apikey ADD COLUMN issuer TEXT NOT NULL DEFAULT '' CHECK (length(issuer) <= 1024);		-- '': it is none
ALTER TABLE apikey ADD COLUMN subject TEXT NOT NULL DEFAULT '' CHECK (length(subject) <= 1024);		-- with * for anything
ALTER TABLE apikey ADD COLUMN audience TEXT NOT NULL DEFAULT '' CHECK (length(audience) <= 1024);
ALTER TABLE apikey ADD COLUMN claim_rules TEXT NOT NULL DEFAULT '' CHECK (length(claim_rules) <= 8192);	-- JSON: claim to pattern; '': none
