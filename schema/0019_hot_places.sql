-- Who was in an area lately: a search that reaches into the slice that is not closed yet read every hot fix of it, which
-- with 30,000 fixes a second is 27 million at the worst. An index by place of every fix would cost ingest as much as the
-- key. This one holds the anchors (flag 4096, src/fold/anchor.rs): of each tracker the first heard in a cell of a hundredth
-- of a degree and a quarter of an hour, a tenth of the fixes of those that move. They say which trackers to look at.
-- What is there already are anchors all; ingest marks them from now on.
UPDATE fix SET flags = flags | 4096 WHERE fixed_at >= (SELECT rolled_to FROM rollup_mark) AND flags & 140 = 0;
-- Cells in rows of 36,000, from the south-west corner of the world.
CREATE INDEX fix_anchor ON fix ((floor((ST_Y("position") + 90) * 100)::integer * 36000 + floor((ST_X("position") + 180) * 100)::integer), fixed_at)
    WHERE flags & 4096 <> 0;

-- As before. Hot fixes in a box: trackers with an anchor in one of its cells in one of the window's quarters, then their fixes by
-- the key, in one scan.
CREATE OR REPLACE FUNCTION pieces_near(p_box geometry, p_from timestamptz, p_to timestamptz) RETURNS SETOF found
LANGUAGE sql STABLE ROWS 1000 AS $$
    WITH run AS MATERIALIZED (
        SELECT low, high, floor(ST_XMin(p_box) * 1e6)::integer AS west, floor(ST_YMin(p_box) * 1e6)::integer AS south FROM cells_of(p_box))
    SELECT t.tracker_id, t.vehicle_id, t.from_at, t.until_at, t.kind, t.fixes, t.path, t.more, NULL::float8, NULL::float8, NULL::real
    FROM run r, LATERAL (
        SELECT * FROM track p WHERE p.cell BETWEEN r.low AND r.high AND p.from_at >= p_from - interval '1 day' AND p.from_at < p_to
            AND p.until_at >= p_from AND p.east >= r.west AND p.north >= r.south
        OFFSET 0) t     -- the planner must not turn this round
    UNION ALL
    SELECT t.tracker_id, t.vehicle_id, t.from_at, t.until_at, t.kind, t.fixes, t.path, t.more, NULL, NULL, NULL
    FROM run r, LATERAL (
        SELECT * FROM track_open p WHERE p.cell BETWEEN r.low AND r.high AND p.from_at < p_to AND p.until_at >= p_from OFFSET 0) t
    UNION ALL
    SELECT tracker_id, vehicle_id, fixed_at, fixed_at, 0::smallint, 1::smallint, NULL, NULL, ST_X("position"), ST_Y("position"), speed_kmh FROM fix
    WHERE p_to > (SELECT rolled_to FROM rollup_mark) AND fixed_at >= greatest(p_from, (SELECT rolled_to FROM rollup_mark)) AND fixed_at < p_to
        AND flags & 140 = 0 AND "position" && ST_SetSRID(p_box, 4326)
        AND tracker_id = ANY (ARRAY(
            SELECT DISTINCT a.tracker_id
            FROM generate_series(floor((ST_YMin(p_box) + 90) * 100)::integer, floor((ST_YMax(p_box) + 90) * 100)::integer) y,
                generate_series(floor((ST_XMin(p_box) + 180) * 100)::integer, floor((ST_XMax(p_box) + 180) * 100)::integer) x,
                LATERAL (
                    SELECT h.tracker_id FROM fix h
                    WHERE floor((ST_Y(h."position") + 90) * 100)::integer * 36000 + floor((ST_X(h."position") + 180) * 100)::integer = y * 36000 + x
                        AND h.fixed_at >= date_bin('15 minutes', greatest(p_from, (SELECT rolled_to FROM rollup_mark)), 'epoch')
                        AND h.fixed_at < date_bin('15 minutes', p_to, 'epoch') + interval '15 minutes' AND h.flags & 4096 <> 0
                    OFFSET 0) a))   -- the planner must not turn this round
    UNION ALL
    SELECT tracker_id, vehicle_id, fixed_at, fixed_at, 0::smallint, 1::smallint, NULL, NULL, ST_X("position"), ST_Y("position"), speed_kmh FROM fix_late
    WHERE fixed_at >= p_from AND fixed_at < p_to AND flags & 140 = 0 AND "position" && ST_SetSRID(p_box, 4326)
$$;
