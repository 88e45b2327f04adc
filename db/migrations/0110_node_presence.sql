-- When each node came and went in the last days, for the console: 4 bytes a time, seconds, big-endian, ascending. After the last one
-- it is as was_online says. Lazy, as that.
ALTER TABLE node ADD COLUMN presence BLOB CHECK (length(presence) <= 384 AND length(presence) % 4 = 0);	-- NULL: nothing known
