-- One form for every spelling of a plate; the rules are those of src/domain/plate.rs, and a test asks both.

-- The letters and digits of a text as plates are compared by: NFKC, capitals, no separators. Raised and lowered letters and what
-- lies outside the basic plane are none: later versions of Unicode make letters of more of them, and two programs would differ.
CREATE FUNCTION plate_key(p_text text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT translate(normalize(regexp_replace(p_text, '[\u02b0-\u02ff\u1d00-\u1dbf\u2070-\u209f\ua640-\ua69f\ua700-\ua78e\ua790-\ua7ff\uab30-\uab6f\U00010000-\U0010ffff]', E'\ufffd', 'g'), NFKC),
        'abcdefghijklmnopqrstuvwxyzàáâãäåæçèéêëìíîïðñòóôõöøùúûüýþđαβγδεζηθικλμνξοπρστυφχψωабвгдежзийклмнопрстуфхцчшщъыьэюяѐёђѓєѕіїјљњћќѝўџ'
            || E'\t\n\u000b\f\r \u00ad\u00b7\u2022\u2027\u2219\u22c5\u25cf\u25e6\u2e31\u2e33\u30fb\u3002\ua78f.-_/'
            || E'\u2010\u2012\u2013\u2014\u2015\u2212\u200b\u200c\u200d\u200e\u200f\u2060\ufeff',
        'ABCDEFGHIJKLMNOPQRSTUVWXYZÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖØÙÚÛÜÝÞĐΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩАБВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯЀЁЂЃЄЅІЇЈЉЊЋЌЍЎЏ')
$$;

-- The canonical form of a plate, as people read it; NULL: the text is no plate.
CREATE FUNCTION plate_canonical(p_text text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT CASE WHEN k.key ~ '^[0-9A-ZÀ-ÖØ-ÞĐΑ-ΡΣ-ΩЀ-Я\u0621-\u063a\u0641-\u064a\u0e01-\u0e2e\u3007\u3041-\u3096\u30a1-\u30fa\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3]{2,16}$'
            AND k.key ~ '[0-9]'
        THEN regexp_replace(k.key, '^([\u3007\u3400-\u4dbf\u4e00-\u9fff][A-Z]|[\u3007\u3400-\u4dbf\u4e00-\u9fff]{2,})(.+)$', '\1·\2') END
    FROM (SELECT plate_key(p_text)) AS k (key)
$$;

-- ── what stood there before ─────────────────────────────────────────────────────────────────
-- Vehicles that shared a plate with another, and those whose plate was none. Nothing is merged: each keeps a plate of its own, the
-- number of the vehicle behind a '#', until an administrator says what is right (`rideguard admin plates`).
CREATE TABLE plate_unclear (
    vehicle_id      bigint PRIMARY KEY REFERENCES vehicle,
    was             text NOT NULL,                       -- as it stood there
    reason          text NOT NULL CHECK (reason IN ('shared', 'none')),
    noted_at        timestamptz NOT NULL DEFAULT now()
);

-- Who carries a tracker keeps the plate without a mark, then who was first.
INSERT INTO plate_unclear (vehicle_id, was, reason)
    SELECT vehicle_id, plate, CASE WHEN canonical IS NULL THEN 'none' ELSE 'shared' END FROM (
        SELECT v.vehicle_id, v.plate, c.canonical, row_number() OVER (PARTITION BY c.canonical ORDER BY EXISTS (
            SELECT FROM installation i WHERE i.vehicle_id = v.vehicle_id AND i.valid_to IS NULL) DESC, v.vehicle_id) AS n
        FROM vehicle v, LATERAL (SELECT plate_canonical(v.plate)) c (canonical) WHERE v.plate <> 'erased-' || v.vehicle_id) told
    WHERE canonical IS NULL OR n > 1;

ALTER TABLE vehicle DROP CONSTRAINT vehicle_plate_key;
UPDATE vehicle v SET plate = coalesce(plate_canonical(v.plate), '') || CASE WHEN u.vehicle_id IS NULL THEN '' ELSE '#' || v.vehicle_id END
    FROM vehicle o LEFT JOIN plate_unclear u USING (vehicle_id) WHERE o.vehicle_id = v.vehicle_id AND v.plate <> 'erased-' || v.vehicle_id;

-- Canonical; or marked with the vehicle's own number; or that of somebody who was erased (close_account).
ALTER TABLE vehicle ADD CONSTRAINT vehicle_plate_is_canonical CHECK (
    plate = 'erased-' || vehicle_id
    OR coalesce(plate = plate_canonical(plate), false)
    OR plate = coalesce(plate_canonical(split_part(plate, '#', 1)), '') || '#' || vehicle_id);
ALTER TABLE vehicle ADD CONSTRAINT vehicle_plate_key UNIQUE (plate);
-- What every question about a plate goes by; empty: this vehicle has none.
ALTER TABLE vehicle ADD COLUMN plate_key text GENERATED ALWAYS AS (
    CASE WHEN plate ~ '^erased-' THEN '' ELSE plate_key(split_part(plate, '#', 1)) END) STORED;
CREATE UNIQUE INDEX vehicle_one_plate_each ON vehicle (plate_key) WHERE plate_key <> '' AND strpos(plate, '#') = 0;
CREATE INDEX vehicle_plate_key_all ON vehicle (plate_key) WHERE plate_key <> '';

-- A plate that is given, or erased, settles what was unclear; and no text of before stays.
CREATE FUNCTION plate_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM plate_unclear WHERE vehicle_id = NEW.vehicle_id;
    RETURN NULL;
END $$;
CREATE TRIGGER plate_changed AFTER UPDATE OF plate ON vehicle FOR EACH ROW WHEN (OLD.plate <> NEW.plate) EXECUTE FUNCTION plate_changed();

-- Gives a vehicle another plate, or none (NULL); who shared its old one with nobody else loses the mark.
CREATE FUNCTION set_plate(p_vehicle bigint, p_plate text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    old_key text;
    new_plate text := coalesce(plate_canonical(p_plate), '#' || p_vehicle);
    holder bigint := (SELECT vehicle_id FROM vehicle WHERE plate_key = plate_key(p_plate) AND vehicle_id <> p_vehicle ORDER BY vehicle_id LIMIT 1);
BEGIN
    SELECT plate_key INTO old_key FROM vehicle WHERE vehicle_id = p_vehicle FOR UPDATE;
    IF NOT FOUND THEN RETURN NULL; END IF;
    IF holder IS NOT NULL THEN
        RAISE EXCEPTION 'the plate % is that of vehicle %', new_plate, holder USING ERRCODE = 'P0409';
    END IF;
    UPDATE vehicle SET plate = new_plate WHERE vehicle_id = p_vehicle;
    DELETE FROM plate_unclear WHERE vehicle_id = p_vehicle;
    UPDATE vehicle SET plate = split_part(plate, '#', 1) WHERE plate_key = old_key AND old_key <> '' AND strpos(plate, '#') > 0
        AND 1 = (SELECT count(*) FROM vehicle WHERE plate_key = old_key);
    RETURN new_plate;
END $$;

-- ── questions that take a plate ─────────────────────────────────────────────────────────────
-- The vehicle of a plate in any spelling; NULL: none has it. Where vehicles share it, the number of one stands behind a '#'.
CREATE FUNCTION vehicle_of_plate(p_text text) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
DECLARE
    said   text := normalize(coalesce(p_text, ''), NFKC);
    number bigint := substring(said FROM '#([0-9]{1,18})\s*$')::bigint;
    key    text := plate_key(CASE WHEN number IS NULL THEN said ELSE split_part(said, '#', 1) END);
    found_ids bigint[] := ARRAY(SELECT vehicle_id FROM vehicle WHERE plate_key = key AND (number IS NOT NULL OR key <> '')
        AND (number IS NULL OR vehicle_id = number) ORDER BY vehicle_id LIMIT 10);
    names  text;
BEGIN
    IF cardinality(found_ids) > 1 THEN
        SELECT string_agg(plate_canonical(split_part(plate, '#', 1)) || '#' || vehicle_id, ', ' ORDER BY vehicle_id) INTO names
        FROM vehicle WHERE vehicle_id = ANY (found_ids);
        PERFORM refuse('P0409', 'plate_shared', format('vehicles share this plate; name one of them: %s', names), jsonb_build_object('plates', names));
    END IF;
    RETURN found_ids[1];
END $$;

CREATE OR REPLACE FUNCTION api_police_vehicles(p_account bigint, p_grant bigint, p_text text) RETURNS SETOF jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    returned integer;
    sought_key   text := plate_key(split_part(normalize(p_text, NFKC), '#', 1));
    sought_ident text := lower(btrim(normalize(p_text, NFKC)));
BEGIN
    PERFORM check_grant(p_account, p_grant);
    -- The plate itself comes first, whatever else holds it.
    RETURN QUERY SELECT vehicle_as_json(v.vehicle_id) FROM vehicle v
        LEFT JOIN installation n ON n.vehicle_id = v.vehicle_id AND n.valid_to IS NULL LEFT JOIN tracker t USING (tracker_id)
        WHERE (sought_key <> '' AND strpos(v.plate_key, sought_key) > 0) OR (sought_ident <> '' AND strpos(lower(t.ident), sought_ident) > 0)
        ORDER BY v.plate_key <> sought_key, v.plate LIMIT 50;
    GET DIAGNOSTICS returned = ROW_COUNT;
    PERFORM write_audit(p_account, p_grant, 'vehicles', jsonb_build_object('text', p_text), returned);
END $$;

CREATE OR REPLACE FUNCTION place_hold(p_account bigint, p_grant bigint, p_case text, p_plate text, p_from timestamptz, p_to timestamptz,
    p_ends timestamptz, p_reason text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    the_case text := hold_case(p_account, p_grant, p_case);
    vehicle  bigint := vehicle_of_plate(p_plate);
    id       bigint;
BEGIN
    IF vehicle IS NULL THEN
        PERFORM refuse('P0404', 'no_such_plate', format('no vehicle has the plate %s', left(p_plate, 40)), jsonb_build_object('plate', left(p_plate, 40)));
    END IF;
    IF p_to <= p_from THEN
        PERFORM refuse('P0400', 'window_backwards', format('the window ends at %s, before it begins', p_to), jsonb_build_object('from', p_from, 'to', p_to));
    END IF;
    IF p_ends <= now() OR p_ends > now() + interval '5 years' THEN
        PERFORM refuse('P0400', 'hold_end', format('the hold ends at %s; it must end within 5 years from now', p_ends), jsonb_build_object('ends_at', p_ends, 'years_max', 5));
    END IF;
    INSERT INTO legal_hold (case_number, vehicle_id, from_at, to_at, reason, placed_by, ends_at)
    VALUES (the_case, vehicle, p_from, p_to, p_reason, p_account, p_ends) RETURNING hold_id INTO id;
    PERFORM write_audit(p_account, p_grant, 'hold', jsonb_build_object('hold', id, 'case', the_case, 'vehicle', vehicle,
        'from', p_from, 'to', p_to, 'ends', p_ends, 'reason', p_reason), NULL);
    RETURN id;
END $$;

-- The list of trackers as it is, whatever it shows of each: only how it looks for plates changes.
DO $$
DECLARE
    before text := pg_get_functiondef('api_trackers(text, text, bigint, integer)'::regprocedure);
    now_it text := replace(before, 'strpos(lower(coalesce(h.plate, '''')), lower(p_text)) > 0', 
        'h.plate IN (SELECT w.plate FROM vehicle w WHERE strpos(w.plate_key, (SELECT nullif(plate_key(p_text), ''''))) > 0)');
BEGIN
    IF now_it = before THEN RAISE EXCEPTION 'api_trackers looks for plates in another way than this migration knows'; END IF;
    EXECUTE now_it;
END $$;
