-- A deleted webhook is told so, signed with its secret, and its row goes then, or soon anyway.
ALTER TABLE webhook ADD COLUMN deleted_ms INTEGER NOT NULL DEFAULT 0;	-- 0: it is not
