-- A door that is a process of its own faces the Internet: it may ask who may come in and keep what a terminal registered with, and
-- nothing else.
GRANT SELECT ON migration TO rideguard_door_rights;
GRANT EXECUTE ON FUNCTION broker_users(text), door_sockets(text), door_register(bigint, bytea, bytea) TO rideguard_door_rights;

-- A time in which no door was linked is one of its own: trackers behind a broker were heard.
ALTER TABLE coverage_gap DROP CONSTRAINT coverage_gap_cause_check;
ALTER TABLE coverage_gap ADD CONSTRAINT coverage_gap_cause_check CHECK (cause IN ('connection', 'session_lost', 'away', 'door_away'));
