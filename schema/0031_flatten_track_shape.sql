-- Pieces as flat lines and points. The third number of a path is a speed; as a height it went into every export.
CREATE OR REPLACE VIEW track_shape AS
    SELECT tracker_id, vehicle_id, from_at, until_at, CASE kind WHEN 1 THEN 'ride' ELSE 'dwell' END AS kind, fixes,
        ST_Force2D(ST_SetSRID(ST_GeomFromTWKB(path), 4326)) AS shape
    FROM piece_all;
