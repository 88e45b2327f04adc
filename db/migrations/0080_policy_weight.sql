-- What a version gave and took when it was set, with the machines of that moment. weighed 0: nobody reckoned it.
ALTER TABLE policy ADD COLUMN weighed INTEGER NOT NULL DEFAULT 0 CHECK (weighed IN (0, 1));
ALTER TABLE policy ADD COLUMN gained INTEGER NOT NULL DEFAULT 0;	-- connections: ordered pairs of machines
ALTER TABLE policy ADD COLUMN lost INTEGER NOT NULL DEFAULT 0;
ALTER TABLE policy ADD COLUMN machines INTEGER NOT NULL DEFAULT 0;	-- that were sent something else
