-- Times in which lanes heard nothing because of ourselves or the broker, for operators. They follow from the journal.
CREATE TABLE coverage_gap (
    lane            smallint NOT NULL,
    cause           text NOT NULL CHECK (cause IN ('connection', 'session_lost', 'away')),
    from_at         timestamptz NOT NULL,
    until_at        timestamptz NOT NULL,
    PRIMARY KEY (lane, from_at, until_at, cause)
);
CREATE INDEX coverage_gap_time ON coverage_gap (until_at DESC);

-- One gap for operators, however many lanes had it: those of one cause that touch, or nearly (lanes connect again
-- one after the other).
CREATE FUNCTION api_coverage_gaps(p_limit integer) RETURNS SETOF jsonb LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH marked AS (
        SELECT *, from_at > max(until_at) OVER (same ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) + interval '10 seconds' AS is_another
        FROM coverage_gap WHERE until_at > now() - interval '7 days'
        WINDOW same AS (PARTITION BY cause ORDER BY from_at)),
    numbered AS (SELECT *, count(*) FILTER (WHERE is_another) OVER (PARTITION BY cause ORDER BY from_at) AS n FROM marked)
    SELECT jsonb_build_object('cause', cause, 'from', min(from_at), 'to', max(until_at), 'lanes', count(DISTINCT lane))
    FROM numbered GROUP BY cause, n ORDER BY max(until_at) DESC LIMIT p_limit
$$;
