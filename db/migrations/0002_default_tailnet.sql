-- The tailnet that a fresh install has. Everything else refers to one.
INSERT INTO tailnet (id, name) VALUES (1, 'default') ON CONFLICT DO NOTHING;
