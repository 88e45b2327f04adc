-- Routes that a node carried while others could have carried them, too: after a restart of the server they stay where they are.
-- The same form as approved_routes; written lazily, like was_online.
ALTER TABLE node ADD COLUMN carried_routes BLOB NOT NULL DEFAULT x''
	CHECK (length(carried_routes) <= 512 * 18 AND length(carried_routes) % 18 = 0);
