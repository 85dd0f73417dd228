-- A door that is a process of its own faces the Internet: it may ask who may come in and keep what a terminal registered with, and
-- nothing else.
GRANT SELECT ON migration TO rideguard_door_rights;
GRANT EXECUTE ON FUNCTION broker_users(text), door_sockets(text), door_register(bigint, bytea, bytea) TO rideguard_door_rights;
