-- Every refusal that a person can meet carries a word and values (docs/errors.md), so that the page can say it in the reader's language.
-- The functions stay as they are, whatever else they do by now: only their sentences are raised with `refuse`.
DO $$
DECLARE
    r      record;
    before text;
    after  text;
BEGIN
    FOR r IN SELECT * FROM (VALUES
        ('check_grant(bigint, bigint)',
            $s$RAISE EXCEPTION 'no grant % of yours is in force', coalesce(p_grant::text, '(none)') USING ERRCODE = 'P0403';$s$,
            $s$PERFORM refuse('P0403', 'no_grant', format('no grant %s of yours is in force', coalesce(p_grant::text, '(none)')), jsonb_build_object('grant', coalesce(p_grant::text, '–')));$s$),
        ('api_arm(bigint, bigint, boolean)',
            $s$RAISE EXCEPTION 'the vehicle carries no tracker' USING ERRCODE = 'P0409';$s$,
            $s$PERFORM refuse('P0409', 'no_tracker', 'the vehicle carries no tracker');$s$),
        ('api_set_guarding(bigint, bigint, jsonb, integer)',
            $s$RAISE EXCEPTION 'the vehicle carries no tracker' USING ERRCODE = 'P0409';$s$,
            $s$PERFORM refuse('P0409', 'no_tracker', 'the vehicle carries no tracker');$s$),
        ('api_make_phone(bigint, bigint, bytea)',
            $s$RAISE EXCEPTION 'a vehicle has at most 5 phones; remove them first' USING ERRCODE = 'P0409';$s$,
            $s$PERFORM refuse('P0409', 'phones_full', 'a vehicle has at most 5 phones; remove them first', '{"max": 5}');$s$),
        ('check_window(access_grant, timestamptz, timestamptz)',
            $s$RAISE EXCEPTION 'the window is longer than the % hours that grant % allows', g.hours_max, g.grant_id USING ERRCODE = 'P0400';$s$,
            $s$PERFORM refuse('P0400', 'window_too_long', format('the window is longer than the %s hours that grant %s allows', g.hours_max, g.grant_id), jsonb_build_object('hours_max', g.hours_max, 'grant', g.grant_id::text));$s$),
        ('check_area(access_grant, geometry)',
            $s$RAISE EXCEPTION 'the polygon crosses itself or has no area' USING ERRCODE = 'P0400';$s$,
            $s$PERFORM refuse('P0400', 'polygon_invalid', 'the polygon crosses itself or has no area', jsonb_build_object('reason', ST_IsValidReason(p_area)));$s$),
        ('check_area(access_grant, geometry)',
            $s$RAISE EXCEPTION 'the area is % km²; grant % allows %', round(km2::numeric, 1), g.grant_id, g.area_km2_max USING ERRCODE = 'P0400';$s$,
            $s$PERFORM refuse('P0400', 'area_too_large', format('the area is %s km²; grant %s allows %s', round(km2::numeric, 1), g.grant_id, g.area_km2_max), jsonb_build_object('km2', round(km2::numeric, 1), 'km2_max', g.area_km2_max, 'grant', g.grant_id::text));$s$),
        ('api_police_near(bigint, bigint, text, timestamptz, timestamptz, interval, integer)',
            $s$RAISE EXCEPTION 'more than % pieces of tracks touch this area in this time; ask for less than the % hours, or for a smaller area',
            p_most, round(extract(epoch FROM p_to - p_from) / 3600, 1) USING ERRCODE = 'P0400';$s$,
            $s$PERFORM refuse('P0400', 'too_many_pieces', format('more than %s pieces of tracks touch this area in this time; ask for less than the %s hours, or for a smaller area',
            p_most, round(extract(epoch FROM p_to - p_from) / 3600, 1)), jsonb_build_object('max', p_most, 'hours', round(extract(epoch FROM p_to - p_from) / 3600, 1)));$s$),
        ('api_police_company(bigint, bigint, bigint, timestamptz, timestamptz, double precision, double precision, integer)',
            $s$RAISE EXCEPTION 'more than % rides were near this vehicle; ask for less than the % hours', p_most,
            round(extract(epoch FROM p_to - p_from) / 3600, 1) USING ERRCODE = 'P0400';$s$,
            $s$PERFORM refuse('P0400', 'too_many_rides', format('more than %s rides were near this vehicle; ask for less than the %s hours', p_most,
            round(extract(epoch FROM p_to - p_from) / 3600, 1)), jsonb_build_object('max', p_most, 'hours', round(extract(epoch FROM p_to - p_from) / 3600, 1)));$s$),
        ('check_zone(jsonb)',
            $s$RAISE EXCEPTION 'the polygon is none: %', ST_IsValidReason(area) USING ERRCODE = 'P0422';$s$,
            $s$PERFORM refuse('P0422', 'polygon_invalid', format('the polygon is none: %s', ST_IsValidReason(area)), jsonb_build_object('reason', ST_IsValidReason(area)));$s$),
        ('check_zone(jsonb)',
            $s$RAISE EXCEPTION 'the polygon has an area of % m²; it must be 100 m² to 250,000 km²', round(m2::numeric) USING ERRCODE = 'P0422';$s$,
            $s$PERFORM refuse('P0422', 'polygon_area', format('the polygon has an area of %s m²; it must be 100 m² to 250,000 km²', round(m2::numeric)), jsonb_build_object('m2', round(m2::numeric), 'm2_min', 100, 'km2_max', 250000));$s$),
        ('api_add_zone(bigint, text, jsonb)',
            $s$RAISE EXCEPTION 'only the owner makes zones for a vehicle' USING ERRCODE = 'P0403';$s$,
            $s$PERFORM refuse('P0403', 'zone_of_owner', 'only the owner makes zones for a vehicle');$s$),
        ('api_add_zone(bigint, text, jsonb)',
            $s$RAISE EXCEPTION 'an account of this role has at most % zones', most USING ERRCODE = 'P0409';$s$,
            $s$PERFORM refuse('P0409', 'zones_full', format('an account of this role has at most %s zones', most), jsonb_build_object('max', most));$s$),
        ('hold_case(bigint, bigint, text)',
            $s$RAISE EXCEPTION 'holds are placed and released by police or administrators' USING ERRCODE = 'P0403';$s$,
            $s$PERFORM refuse('P0403', 'hold_role', 'holds are placed and released by police or administrators');$s$),
        ('hold_case(bigint, bigint, text)',
            $s$RAISE EXCEPTION 'a hold needs the number of its case' USING ERRCODE = 'P0400';$s$,
            $s$PERFORM refuse('P0400', 'case_missing', 'a hold needs the number of its case');$s$),
        ('release_hold(bigint, bigint, bigint, text)',
            $s$RAISE EXCEPTION 'hold % is of another case than grant %', p_hold, p_grant USING ERRCODE = 'P0403';$s$,
            $s$PERFORM refuse('P0403', 'hold_of_other_case', format('hold %s is of another case than grant %s', p_hold, p_grant), jsonb_build_object('hold', p_hold::text, 'grant', p_grant::text));$s$),
        ('release_hold(bigint, bigint, bigint, text)',
            $s$RAISE EXCEPTION 'hold % was released already', p_hold USING ERRCODE = 'P0409';$s$,
            $s$PERFORM refuse('P0409', 'hold_released', format('hold %s was released already', p_hold), jsonb_build_object('hold', p_hold::text));$s$),
        -- Why the last message of a tracker was set aside, as a word beside the sentence.
        ('api_trackers(text, text, bigint, integer)',
            $s$'last_error', (SELECT q.detail FROM$s$,
            $s$'last_error_code', (SELECT q.reason FROM quarantine q WHERE q.tracker_id = h.tracker_id ORDER BY q.received_at DESC LIMIT 1),
        'last_error', (SELECT q.detail FROM$s$)
    ) AS changes (function, sentence, coded) LOOP
        before := pg_get_functiondef(r.function::regprocedure);
        after := replace(before, r.sentence, r.coded);
        IF after = before THEN RAISE EXCEPTION '% does not say "%"', r.function, r.sentence; END IF;
        EXECUTE after;
    END LOOP;
END $$;
