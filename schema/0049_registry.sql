-- The registry: people, vehicles and trackers with history, time ranges that cannot overlap, search, and imports of many.

-- Both are trusted (PostgreSQL 13): who may CREATE in the database may have them. They are in Debian's postgresql-15 itself.
CREATE EXTENSION IF NOT EXISTS btree_gist;
CREATE EXTENSION IF NOT EXISTS pg_trgm;

-- An id number itself is never kept: HMAC-SHA-256 with a key that the database does not have, and its last four.
ALTER TABLE account
    ADD COLUMN id_number_hmac bytea CONSTRAINT account_id_number_check CHECK (octet_length(id_number_hmac) = 32),
    ADD COLUMN id_number_last4 text CONSTRAINT account_last4_check CHECK (id_number_last4 ~ '^[0-9]{3}[0-9X]$'),
    -- Of a phone number what lists show: a search must not tell the digits between one by one. A whole number is another question.
    ADD COLUMN searched text GENERATED ALWAYS AS (' ' || lower(name) || coalesce(' ' || left(phone, greatest(length(phone) - 8, 1)) || ' ' || right(phone, 4), '')) STORED;
ALTER TABLE vehicle
    ADD COLUMN make text NOT NULL DEFAULT '' CONSTRAINT vehicle_make_check CHECK (length(make) <= 64),
    ADD COLUMN colour text NOT NULL DEFAULT '' CONSTRAINT vehicle_colour_check CHECK (length(colour) <= 32),
    ADD COLUMN motor_number text CONSTRAINT vehicle_motor_check CHECK (motor_number ~ '^[A-Z0-9-]{4,32}$'),
    ADD COLUMN version integer NOT NULL DEFAULT 1;
ALTER TABLE vehicle ADD COLUMN searched text GENERATED ALWAYS AS (' ' || lower(CASE WHEN plate ~ '^erased-' THEN '' ELSE replace(plate, '·', '') END)
    || ' ' || lower(coalesce(frame_number, '')) || ' ' || lower(coalesce(motor_number, ''))) STORED;
ALTER TABLE tracker
    ADD COLUMN model text NOT NULL DEFAULT '' CONSTRAINT tracker_model_check CHECK (length(model) <= 64),
    -- ITU-T E.118: 18 to 20 digits; some makers write the last as a letter.
    ADD COLUMN iccid text CONSTRAINT tracker_iccid_check CHECK (iccid ~ '^[0-9]{17,19}[0-9A-F]$'),
    ADD COLUMN sim_number text CONSTRAINT tracker_sim_check CHECK (sim_number ~ '^\+?[0-9]{5,15}$'),
    ADD COLUMN batch text NOT NULL DEFAULT '' CONSTRAINT tracker_batch_check CHECK (length(batch) <= 64),
    ADD COLUMN version integer NOT NULL DEFAULT 1;
ALTER TABLE tracker ADD COLUMN searched text GENERATED ALWAYS AS (' ' || lower(ident) || ' ' || coalesce(iccid, '') || ' ' || coalesce(sim_number, '')
    || ' ' || lower(batch)) STORED;
-- What an import asks of each line has to be cheap. A plate of China as most people write it is its own canonical form: no letter
-- of it has another form in NFKC, the dot is a separator, and the key behind the dot begins with no more Chinese characters.
CREATE OR REPLACE FUNCTION plate_key(p_text text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN p_text ~ '^[0-9A-Z\u00b7\u4e00-\u9fff]*$' THEN replace(p_text, E'\u00b7', '') ELSE
        translate(normalize(regexp_replace(p_text, '[\u02b0-\u02ff\u1d00-\u1dbf\u2070-\u209f\ua640-\ua69f\ua700-\ua78e\ua790-\ua7ff\uab30-\uab6f\U00010000-\U0010ffff]', E'\ufffd', 'g'), NFKC),
        'abcdefghijklmnopqrstuvwxyzàáâãäåæçèéêëìíîïðñòóôõöøùúûüýþđαβγδεζηθικλμνξοπρστυφχψωабвгдежзийклмнопрстуфхцчшщъыьэюяѐёђѓєѕіїјљњћќѝўџ'
            || E'\t\n\u000b\f\r \u00ad\u00b7\u2022\u2027\u2219\u22c5\u25cf\u25e6\u2e31\u2e33\u30fb\u3002\ua78f.-_/'
            || E'\u2010\u2012\u2013\u2014\u2015\u2212\u200b\u200c\u200d\u200e\u200f\u2060\ufeff',
        'ABCDEFGHIJKLMNOPQRSTUVWXYZÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖØÙÚÛÜÝÞĐΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩАБВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯЀЁЂЃЄЅІЇЈЉЊЋЌЍЎЏ') END
$$;
ALTER TABLE vehicle DROP CONSTRAINT vehicle_plate_is_canonical, ADD CONSTRAINT vehicle_plate_is_canonical CHECK (
    length(plate) <= 17 AND plate ~ '^([\u4e00-\u9fff][A-Z]|[\u4e00-\u9fff]{2,})\u00b7[A-Z]*[0-9][0-9A-Z]*$'
    OR plate = 'erased-' || vehicle_id
    OR coalesce(plate = plate_canonical(plate), false)
    OR plate = coalesce(plate_canonical(split_part(plate, '#', 1)), '') || '#' || vehicle_id);
-- CRC-32/ISO-HDLC, four bits at once (0001 goes bit by bit).
CREATE OR REPLACE FUNCTION crc32(input text) RETURNS bigint LANGUAGE plpgsql IMMUTABLE STRICT AS $$
DECLARE
    of_four constant bigint[] := '{0,498536548,997073096,651767980,1994146192,1802195444,1303535960,1342533948,3988292384,4027552580,3604390888,3412177804,2607071920,2262029012,2685067896,3183342108}';
    bytes bytea := convert_to(input, 'UTF8');
    crc   bigint := 4294967295;
BEGIN
    FOR i IN 0 .. length(bytes) - 1 LOOP
        crc := crc # get_byte(bytes, i);
        crc := (crc >> 4) # of_four[(crc & 15) + 1];
        crc := (crc >> 4) # of_four[(crc & 15) + 1];
    END LOOP;
    RETURN crc # 4294967295;
END $$;
-- 53 random bits of a UUID, without those that are the same in each; an expression that PostgreSQL writes into its caller.
CREATE OR REPLACE FUNCTION random_id() RETURNS bigint LANGUAGE sql VOLATILE AS $$
    SELECT greatest(1, ('x' || left(overlay(replace(gen_random_uuid()::text, '-', '') PLACING '' FROM 13 FOR 5), 14))::bit(56)::bigint & 9007199254740991)
$$;
CREATE INDEX account_searched ON account USING gin (searched gin_trgm_ops) WHERE role IN ('owner', 'family');
-- Names have two or three characters in Chinese: a trigram does not find a given name of two. Its characters do, and `LIKE` their order.
CREATE INDEX account_characters ON account USING gin (string_to_array(searched COLLATE "C", NULL)) WHERE role IN ('owner', 'family');
CREATE INDEX vehicle_searched ON vehicle USING gin (searched gin_trgm_ops);
CREATE INDEX tracker_searched ON tracker USING gin (searched gin_trgm_ops);

-- A time of one tracker, one vehicle and one owner overlaps no other of the same. What earlier versions left within a
-- microsecond of each other is moved apart first; the lanes need not be told.
ALTER TABLE installation DISABLE TRIGGER USER;
ALTER TABLE ownership DISABLE TRIGGER USER;
UPDATE installation i SET valid_to = n.next_from FROM (SELECT tracker_id, valid_from, lead(valid_from) OVER (PARTITION BY tracker_id ORDER BY valid_from) AS next_from FROM installation) n
    WHERE (n.tracker_id, n.valid_from) = (i.tracker_id, i.valid_from) AND coalesce(i.valid_to, 'infinity') > n.next_from;
UPDATE installation i SET valid_to = n.next_from FROM (SELECT tracker_id, vehicle_id, valid_from, lead(valid_from) OVER (PARTITION BY vehicle_id ORDER BY valid_from, coalesce(valid_to, 'infinity')) AS next_from FROM installation) n
    WHERE (n.tracker_id, n.valid_from) = (i.tracker_id, i.valid_from) AND coalesce(i.valid_to, 'infinity') > n.next_from AND n.next_from > i.valid_from;
UPDATE ownership o SET valid_to = n.next_from FROM (SELECT vehicle_id, valid_from, lead(valid_from) OVER (PARTITION BY vehicle_id ORDER BY valid_from) AS next_from FROM ownership) n
    WHERE (n.vehicle_id, n.valid_from) = (o.vehicle_id, o.valid_from) AND coalesce(o.valid_to, 'infinity') > n.next_from;
ALTER TABLE installation ENABLE TRIGGER USER;
ALTER TABLE ownership ENABLE TRIGGER USER;
-- Two that are open have been kept apart by the unique indexes of 0001, two that have ended are by these constraints. The rule
-- below keeps one that is open apart from those that have ended: a range that is open costs each new row a tenth of an import
-- in each such index (docs/decisions/0038).
ALTER TABLE installation
    ADD CONSTRAINT installation_one_vehicle EXCLUDE USING gist (tracker_id WITH =, tstzrange(valid_from, valid_to) WITH &&) WHERE (valid_to IS NOT NULL),
    ADD CONSTRAINT installation_one_tracker EXCLUDE USING gist (vehicle_id WITH =, tstzrange(valid_from, valid_to) WITH &&) WHERE (valid_to IS NOT NULL);
ALTER TABLE ownership ADD CONSTRAINT ownership_one_owner EXCLUDE USING gist (vehicle_id WITH =, tstzrange(valid_from, valid_to) WITH &&) WHERE (valid_to IS NOT NULL);

-- Of two transactions that write times of the same thing, the second waits for its row here until the first has ended, and then
-- sees what that one wrote. A transaction that sees only what there was at its beginning would not: it may write none.
CREATE FUNCTION times_are_apart() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE broken text;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'times of things are written at READ COMMITTED only' USING ERRCODE = 'invalid_transaction_state';
    END IF;
    IF TG_TABLE_NAME = 'installation' THEN
        PERFORM FROM tracker WHERE tracker_id IN (SELECT w.tracker_id FROM written w) ORDER BY tracker_id FOR NO KEY UPDATE;
    END IF;
    PERFORM FROM vehicle WHERE vehicle_id IN (SELECT w.vehicle_id FROM written w) ORDER BY vehicle_id FOR NO KEY UPDATE;
    IF TG_TABLE_NAME = 'ownership' THEN
        SELECT 'ownership_one_owner' INTO broken FROM written w JOIN ownership t USING (vehicle_id)
        WHERE (t.valid_to IS NULL) <> (w.valid_to IS NULL) AND tstzrange(t.valid_from, t.valid_to) && tstzrange(w.valid_from, w.valid_to) LIMIT 1;
    ELSE
        SELECT 'installation_one_vehicle' INTO broken FROM written w JOIN installation t USING (tracker_id)
        WHERE (t.valid_to IS NULL) <> (w.valid_to IS NULL) AND tstzrange(t.valid_from, t.valid_to) && tstzrange(w.valid_from, w.valid_to) LIMIT 1;
        IF broken IS NULL THEN
            SELECT 'installation_one_tracker' INTO broken FROM written w JOIN installation t USING (vehicle_id)
            WHERE (t.valid_to IS NULL) <> (w.valid_to IS NULL) AND tstzrange(t.valid_from, t.valid_to) && tstzrange(w.valid_from, w.valid_to) LIMIT 1;
        END IF;
    END IF;
    IF broken IS NOT NULL THEN
        RAISE EXCEPTION 'times of one thing overlap' USING ERRCODE = 'exclusion_violation', CONSTRAINT = broken, TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER times_are_apart AFTER INSERT ON installation REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION times_are_apart();
CREATE TRIGGER times_stay_apart AFTER UPDATE ON installation REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION times_are_apart();
CREATE TRIGGER times_are_apart AFTER INSERT ON ownership REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION times_are_apart();
CREATE TRIGGER times_stay_apart AFTER UPDATE ON ownership REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION times_are_apart();
-- What was there has to follow the rule, too.
DO $$
BEGIN
    IF EXISTS (SELECT FROM installation a JOIN installation b USING (tracker_id) WHERE a.valid_to IS NULL AND b.valid_to > a.valid_from)
        OR EXISTS (SELECT FROM installation a JOIN installation b USING (vehicle_id) WHERE a.valid_to IS NULL AND b.valid_to > a.valid_from)
        OR EXISTS (SELECT FROM ownership a JOIN ownership b USING (vehicle_id) WHERE a.valid_to IS NULL AND b.valid_to > a.valid_from) THEN
        RAISE EXCEPTION 'times of one thing overlap' USING ERRCODE = 'exclusion_violation';
    END IF;
END $$;

-- What a person agreed to. The row stays as proof when the account is erased; it names no-one then.
CREATE TABLE consent (
    consent_id bigint DEFAULT random_id() PRIMARY KEY,
    account_id bigint NOT NULL REFERENCES account,
    version text NOT NULL CHECK (length(version) BETWEEN 1 AND 32),
    given_at timestamptz NOT NULL DEFAULT now(),
    channel text NOT NULL CHECK (channel IN ('door', 'page', 'paper', 'import')),
    taken_by bigint REFERENCES account,
    withdrawn_at timestamptz,
    withdrawn_channel text CHECK (withdrawn_channel IN ('door', 'page', 'paper')),
    CHECK (withdrawn_at >= given_at)
);
CREATE INDEX consent_account ON consent (account_id, given_at);

-- Who changed what and why. Only added to; an erasure empties what it says of a person.
CREATE TABLE registry_change (
    change_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    kind text NOT NULL CHECK (kind IN ('person', 'vehicle', 'tracker', 'installation', 'ownership', 'enrolled')),
    person_id bigint,
    vehicle_id bigint,
    tracker_id bigint,
    by_account bigint,
    reason text,
    import_id bigint,
    was jsonb,
    becomes jsonb
);
CREATE INDEX registry_change_person ON registry_change (person_id, change_id) WHERE person_id IS NOT NULL;
CREATE INDEX registry_change_vehicle ON registry_change (vehicle_id, change_id) WHERE vehicle_id IS NOT NULL;
CREATE INDEX registry_change_tracker ON registry_change (tracker_id, change_id) WHERE tracker_id IS NOT NULL;

-- The words of a transaction for its changes: who, why, of which import.
CREATE FUNCTION changes_are_of(p_account bigint, p_reason text, p_import bigint DEFAULT NULL) RETURNS void LANGUAGE sql AS $$
    SELECT set_config('rideguard.by_account', coalesce(p_account::text, ''), true), set_config('rideguard.reason', coalesce(p_reason, ''), true),
        set_config('rideguard.import', coalesce(p_import::text, ''), true)
$$;

CREATE FUNCTION note_change(p_kind text, p_person bigint, p_vehicle bigint, p_tracker bigint, p_was jsonb, p_becomes jsonb) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    INSERT INTO registry_change (kind, person_id, vehicle_id, tracker_id, by_account, reason, import_id, was, becomes)
    VALUES (p_kind, p_person, p_vehicle, p_tracker, nullif(current_setting('rideguard.by_account', true), '')::bigint,
        nullif(current_setting('rideguard.reason', true), ''), nullif(current_setting('rideguard.import', true), '')::bigint, p_was, p_becomes)
$$;

CREATE FUNCTION registry_changed() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE o jsonb := '{}'; n jsonb := '{}'; was jsonb; becomes jsonb; kept text[];
BEGIN
    IF TG_OP <> 'INSERT' THEN o := to_jsonb(OLD); END IF;
    IF TG_OP <> 'DELETE' THEN n := to_jsonb(NEW); END IF;
    -- Named one by one: a secret that a table gets later does not go into the history.
    kept := CASE TG_TABLE_NAME
        WHEN 'account' THEN '{name,phone,role,unit_id,disabled,id_number_last4}'
        WHEN 'vehicle' THEN '{plate,kind,make,model,colour,frame_number,motor_number,unit_id}'
        WHEN 'tracker' THEN '{ident,profile,model,iccid,sim_number,batch,unit_id}'
        ELSE '{valid_from,valid_to}' END;
    SELECT jsonb_object_agg(k, o -> k) FILTER (WHERE o ? k), jsonb_object_agg(k, n -> k) FILTER (WHERE n ? k) INTO was, becomes
    FROM unnest(kept) k WHERE (o -> k) IS DISTINCT FROM (n -> k);
    IF was IS NULL AND becomes IS NULL OR coalesce(n ->> 'login', '') LIKE 'erased-%' THEN RETURN NULL; END IF;
    IF coalesce(n ->> 'plate', '') LIKE 'erased-%' THEN RETURN NULL; END IF;
    PERFORM note_change(CASE TG_TABLE_NAME WHEN 'account' THEN 'person' ELSE TG_TABLE_NAME END,
        coalesce(n ->> 'account_id', o ->> 'account_id')::bigint, coalesce(n ->> 'vehicle_id', o ->> 'vehicle_id')::bigint,
        coalesce(n ->> 'tracker_id', o ->> 'tracker_id')::bigint, was, becomes);
    RETURN NULL;
END $$;

-- An import writes one row for what a line of it made, and one setting for each tracker; see import_step.
CREATE TRIGGER registry_changed AFTER INSERT OR UPDATE OR DELETE ON account FOR EACH ROW
    WHEN (current_setting('rideguard.in_bulk', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION registry_changed();
CREATE TRIGGER registry_changed AFTER INSERT OR UPDATE OR DELETE ON vehicle FOR EACH ROW
    WHEN (current_setting('rideguard.in_bulk', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION registry_changed();
CREATE TRIGGER registry_changed AFTER INSERT OR UPDATE OR DELETE ON tracker FOR EACH ROW
    WHEN (current_setting('rideguard.in_bulk', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION registry_changed();
CREATE TRIGGER registry_changed AFTER INSERT OR UPDATE OR DELETE ON installation FOR EACH ROW
    WHEN (current_setting('rideguard.in_bulk', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION registry_changed();
CREATE TRIGGER registry_changed AFTER INSERT OR UPDATE OR DELETE ON ownership FOR EACH ROW
    WHEN (current_setting('rideguard.in_bulk', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION registry_changed();
DROP TRIGGER tracker_changed ON tracker;
CREATE TRIGGER tracker_changed AFTER INSERT OR DELETE OR UPDATE OF ident, profile ON tracker FOR EACH ROW
    WHEN (current_setting('rideguard.in_bulk', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION tracker_changed();
DROP TRIGGER installation_changed ON installation;
CREATE TRIGGER installation_changed AFTER INSERT OR DELETE OR UPDATE ON installation FOR EACH ROW
    WHEN (current_setting('rideguard.in_bulk', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION installation_changed();

-- The version that an ETag shows.
CREATE FUNCTION registry_versioned() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.version := OLD.version + 1;
    RETURN NEW;
END $$;
CREATE TRIGGER registry_versioned BEFORE UPDATE OF name, login, phone, unit_id, id_number_hmac ON account FOR EACH ROW
    WHEN ((OLD.name, OLD.login, OLD.phone, OLD.unit_id, OLD.id_number_hmac) IS DISTINCT FROM (NEW.name, NEW.login, NEW.phone, NEW.unit_id, NEW.id_number_hmac)) EXECUTE FUNCTION registry_versioned();
CREATE TRIGGER registry_versioned BEFORE UPDATE OF plate, kind, make, model, colour, frame_number, motor_number, unit_id ON vehicle FOR EACH ROW
    WHEN ((OLD.plate, OLD.kind, OLD.make, OLD.model, OLD.colour, OLD.frame_number, OLD.motor_number, OLD.unit_id)
        IS DISTINCT FROM (NEW.plate, NEW.kind, NEW.make, NEW.model, NEW.colour, NEW.frame_number, NEW.motor_number, NEW.unit_id)) EXECUTE FUNCTION registry_versioned();
CREATE TRIGGER registry_versioned BEFORE UPDATE OF profile, model, iccid, sim_number, batch, unit_id ON tracker FOR EACH ROW
    WHEN ((OLD.profile, OLD.model, OLD.iccid, OLD.sim_number, OLD.batch, OLD.unit_id)
        IS DISTINCT FROM (NEW.profile, NEW.model, NEW.iccid, NEW.sim_number, NEW.batch, NEW.unit_id)) EXECUTE FUNCTION registry_versioned();

-- A lane judges by the kind of the vehicle.
CREATE FUNCTION vehicle_kind_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM tell_tracker(i.tracker_id) FROM installation i WHERE i.vehicle_id = NEW.vehicle_id AND i.valid_to IS NULL;
    RETURN NULL;
END $$;
CREATE TRIGGER vehicle_kind_changed AFTER UPDATE OF kind ON vehicle FOR EACH ROW WHEN (OLD.kind <> NEW.kind) EXECUTE FUNCTION vehicle_kind_changed();

-- What an erasure does to the registry, whoever carries it out: nothing of the person stays but the row's number.
CREATE FUNCTION account_erased() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('rideguard.erases', 'on', true);
    UPDATE registry_change SET was = NULL, becomes = NULL, reason = NULL WHERE person_id = OLD.account_id;
    PERFORM set_config('rideguard.erases', '', true);
    DELETE FROM import_problem WHERE value IN (OLD.phone, OLD.name);
    DELETE FROM import_row WHERE content ->> 'phone' = OLD.phone;
    DELETE FROM idempotent_call WHERE thing_id = OLD.account_id;
    NEW.phone := NULL;
    NEW.id_number_hmac := NULL;
    NEW.id_number_last4 := NULL;
    RETURN NEW;
END $$;
CREATE TRIGGER account_erased BEFORE UPDATE OF login ON account FOR EACH ROW WHEN (NEW.login LIKE 'erased-%' AND OLD.login NOT LIKE 'erased-%') EXECUTE FUNCTION account_erased();
CREATE FUNCTION vehicle_erased() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('rideguard.erases', 'on', true);
    UPDATE registry_change SET was = NULL, becomes = NULL, reason = NULL WHERE vehicle_id = OLD.vehicle_id;
    PERFORM set_config('rideguard.erases', '', true);
    DELETE FROM import_problem WHERE value = OLD.plate;
    DELETE FROM import_row WHERE content ->> 'plate' = OLD.plate;
    NEW.make := '';
    NEW.colour := '';
    NEW.motor_number := NULL;
    RETURN NEW;
END $$;
CREATE TRIGGER vehicle_erased BEFORE UPDATE OF plate ON vehicle FOR EACH ROW WHEN (NEW.plate LIKE 'erased-%' AND OLD.plate NOT LIKE 'erased-%') EXECUTE FUNCTION vehicle_erased();
CREATE FUNCTION registry_change_is_only_added_to() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND current_setting('rideguard.erases', true) = 'on' THEN RETURN NULL; END IF;
    RAISE EXCEPTION 'the history of the registry is only added to' USING ERRCODE = 'P0403';
END $$;
CREATE TRIGGER registry_change_is_only_added_to BEFORE DELETE OR UPDATE OR TRUNCATE ON registry_change FOR EACH STATEMENT EXECUTE FUNCTION registry_change_is_only_added_to();

-- Calls that a retry must not do twice: their key, what was asked, what was made. Kept for a day.
CREATE TABLE idempotent_call (
    account_id bigint NOT NULL REFERENCES account ON DELETE CASCADE,
    key text NOT NULL CHECK (length(key) BETWEEN 1 AND 64),
    asked_sha256 bytea NOT NULL CHECK (octet_length(asked_sha256) = 32),
    thing_id bigint NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account_id, key)
);

-- What a call with this key has made already; NULL for a new one.
CREATE FUNCTION made_before(p_account bigint, p_key text, p_asked bytea) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE before idempotent_call;
BEGIN
    IF p_key IS NULL THEN RETURN NULL; END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended(p_account || ' ' || p_key, 7241049));
    SELECT * INTO before FROM idempotent_call WHERE account_id = p_account AND key = p_key AND at > now() - interval '1 day';
    IF before.asked_sha256 <> p_asked THEN
        PERFORM refuse('P0409', 'key_used', 'this Idempotency-Key was used for another request; take a new one');
    END IF;
    RETURN before.thing_id;
END $$;
CREATE FUNCTION remember_made(p_account bigint, p_key text, p_asked bytea, p_thing bigint) RETURNS void LANGUAGE sql AS $$
    INSERT INTO idempotent_call (account_id, key, asked_sha256, thing_id) SELECT p_account, p_key, p_asked, p_thing WHERE p_key IS NOT NULL
    ON CONFLICT (account_id, key) DO UPDATE SET asked_sha256 = EXCLUDED.asked_sha256, thing_id = EXCLUDED.thing_id, at = now()
$$;

-- A phone number as lists show it: country and first three, last four.
CREATE FUNCTION masked_phone(p_phone text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT left(p_phone, greatest(length(p_phone) - 8, 1)) || '****' || right(p_phone, 4)
$$;

-- The words of a search. From three characters on they may stand anywhere; shorter ones begin a name or number: only so do the
-- trigrams of the index find them. Two characters of a person's name may stand anywhere, too.
CREATE FUNCTION like_pattern(p_text text, p_anywhere_from integer DEFAULT 3) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN t = '' THEN NULL WHEN length(t) < p_anywhere_from THEN '% ' || e || '%' ELSE '%' || e || '%' END
    FROM (SELECT lower(btrim(p_text)) AS t) a, LATERAL (SELECT regexp_replace(t, '([\\%_])', '\\\1', 'g') AS e) b
$$;
-- A whole phone number as it is kept; NULL: it is none. A part of one finds only what lists show of it.
CREATE FUNCTION whole_phone(p_text text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN t ~ '^((\+|00)?86)?1[0-9]{10}$' THEN '+86' || right(t, 11) WHEN t ~ '^(\+|00)[1-9][0-9]{6,14}$' THEN '+' || regexp_replace(t, '^(\+|00)', '') END
    FROM (SELECT regexp_replace(p_text, '[ ()-]', '', 'g') AS t) a
$$;
-- What fits few is found by the indexes; what fits more than this, by going through rows until a page is full.
CREATE FUNCTION few() RETURNS integer LANGUAGE sql IMMUTABLE AS $$ SELECT 2000 $$;
-- The people that fit, one more than a few at most.
CREATE FUNCTION people_found(p_text text) RETURNS bigint[] LANGUAGE plpgsql STABLE SET enable_seqscan = off AS $$
DECLARE number text := whole_phone(p_text); pattern text := like_pattern(p_text, 2); characters text[] := string_to_array(lower(btrim(p_text)), NULL);
BEGIN
    IF number IS NOT NULL THEN
        RETURN ARRAY(SELECT account_id FROM account WHERE phone = number AND role IN ('owner', 'family'));
    ELSIF cardinality(characters) = 2 THEN
        RETURN ARRAY(SELECT account_id FROM account WHERE string_to_array(searched COLLATE "C", NULL) @> characters AND searched LIKE pattern AND role IN ('owner', 'family') LIMIT few() + 1);
    END IF;
    RETURN ARRAY(SELECT account_id FROM account WHERE searched LIKE pattern AND role IN ('owner', 'family') LIMIT few() + 1);
END $$;
CREATE FUNCTION vehicles_found(p_text text) RETURNS bigint[] LANGUAGE plpgsql STABLE SET enable_seqscan = off AS $$
DECLARE pattern text := like_pattern(replace(p_text, '·', ''));
BEGIN
    RETURN ARRAY(SELECT vehicle_id FROM vehicle WHERE searched LIKE pattern LIMIT few() + 1);
END $$;
CREATE FUNCTION trackers_found(p_text text) RETURNS bigint[] LANGUAGE plpgsql STABLE SET enable_seqscan = off AS $$
DECLARE pattern text := like_pattern(p_text);
BEGIN
    RETURN ARRAY(SELECT tracker_id FROM tracker WHERE searched LIKE pattern LIMIT few() + 1);
END $$;
-- A page of each kind, in the order of numbers. `p_text` NULL: of all. They go along the key, which finds many soon.
CREATE FUNCTION people_page(p_who asker, p_text text, p_after bigint, p_limit integer) RETURNS bigint[] LANGUAGE plpgsql STABLE
SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE pattern text := like_pattern(p_text, 2); units bigint[] := ARRAY(SELECT unit_id FROM unit WHERE is_within(p_who, unit_id)); unowned boolean := is_within(p_who, NULL);
BEGIN
    RETURN ARRAY(SELECT account_id FROM account WHERE account_id > p_after AND role IN ('owner', 'family') AND login NOT LIKE 'erased-%'
        AND (pattern IS NULL OR searched LIKE pattern) AND CASE WHEN unit_id IS NULL THEN unowned ELSE unit_id = ANY (units) END ORDER BY account_id LIMIT p_limit);
END $$;
-- Vehicles by their own words, by their owner's or by their tracker's.
CREATE FUNCTION vehicles_page(p_who asker, p_by text, p_text text, p_after bigint, p_limit integer) RETURNS bigint[] LANGUAGE plpgsql STABLE
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_sort = off AS $$
DECLARE
    pattern text := CASE p_by WHEN 'vehicle' THEN like_pattern(replace(p_text, '·', '')) WHEN 'owner' THEN like_pattern(p_text, 2) ELSE like_pattern(p_text) END;
    units bigint[] := ARRAY(SELECT unit_id FROM unit WHERE is_within(p_who, unit_id));
    unowned boolean := is_within(p_who, NULL);
BEGIN
    IF p_by = 'vehicle' THEN
        RETURN ARRAY(SELECT vehicle_id FROM vehicle WHERE vehicle_id > p_after AND (pattern IS NULL OR searched LIKE pattern) AND plate NOT LIKE 'erased-%'
            AND CASE WHEN unit_id IS NULL THEN unowned ELSE unit_id = ANY (units) END ORDER BY vehicle_id LIMIT p_limit);
    ELSIF p_by = 'owner' THEN
        RETURN ARRAY(SELECT o.vehicle_id FROM ownership o JOIN account a USING (account_id) JOIN vehicle v USING (vehicle_id)
            WHERE o.vehicle_id > p_after AND o.valid_to IS NULL AND a.role IN ('owner', 'family') AND a.searched LIKE pattern AND v.plate NOT LIKE 'erased-%'
            AND CASE WHEN v.unit_id IS NULL THEN unowned ELSE v.unit_id = ANY (units) END ORDER BY o.vehicle_id LIMIT p_limit);
    END IF;
    RETURN ARRAY(SELECT i.vehicle_id FROM installation i JOIN tracker t USING (tracker_id) JOIN vehicle v USING (vehicle_id)
        WHERE i.vehicle_id > p_after AND i.valid_to IS NULL AND t.searched LIKE pattern AND v.plate NOT LIKE 'erased-%'
        AND CASE WHEN v.unit_id IS NULL THEN unowned ELSE v.unit_id = ANY (units) END ORDER BY i.vehicle_id LIMIT p_limit);
END $$;
CREATE FUNCTION trackers_page(p_who asker, p_text text, p_after bigint, p_limit integer) RETURNS bigint[] LANGUAGE plpgsql STABLE
SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE pattern text := like_pattern(p_text); units bigint[] := ARRAY(SELECT unit_id FROM unit WHERE is_within(p_who, unit_id)); unowned boolean := is_within(p_who, NULL);
BEGIN
    RETURN ARRAY(SELECT tracker_id FROM tracker WHERE tracker_id > p_after AND (pattern IS NULL OR searched LIKE pattern)
        AND CASE WHEN unit_id IS NULL THEN unowned ELSE unit_id = ANY (units) END ORDER BY tracker_id LIMIT p_limit);
END $$;

-- Lists. Phones are masked; each question leaves a row of audit.
CREATE FUNCTION api_registry_people(p_token bytea, p_text text, p_after bigint, p_limit integer) RETURNS SETOF jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE who asker := asker_of(p_token, 'operator', 'admin'); asked text := nullif(btrim(p_text), ''); found_ids bigint[]; returned integer;
BEGIN
    IF asked IS NOT NULL THEN found_ids := people_found(asked); END IF;
    IF asked IS NULL OR cardinality(found_ids) > few() THEN found_ids := people_page(who, asked, p_after, p_limit); END IF;
    RETURN QUERY SELECT jsonb_build_object('id', a.account_id::text, 'name', a.name, 'phone', masked_phone(a.phone), 'id_number_last4', a.id_number_last4,
        'is_invited', a.password_hash IS NOT NULL, 'vehicles', (SELECT count(*) FROM ownership o WHERE o.account_id = a.account_id AND o.valid_to IS NULL))
    FROM (SELECT * FROM account a WHERE a.account_id = ANY (found_ids) AND a.account_id > p_after AND a.login NOT LIKE 'erased-%'
            AND is_within(who, a.unit_id) ORDER BY a.account_id LIMIT p_limit) a
    ORDER BY a.account_id;
    GET DIAGNOSTICS returned = ROW_COUNT;
    PERFORM write_audit(who.account_id, NULL, 'registry_search', jsonb_build_object('kind', 'people', 'text', p_text), returned);
END $$;

CREATE FUNCTION api_registry_vehicles(p_token bytea, p_text text, p_after bigint, p_limit integer) RETURNS SETOF jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE who asker := asker_of(p_token, 'operator', 'admin'); asked text := nullif(btrim(p_text), ''); found_ids bigint[]; things bigint[]; returned integer;
BEGIN
    -- The first of all are among the first of each.
    found_ids := CASE WHEN asked IS NOT NULL THEN vehicles_found(asked) END;
    IF asked IS NULL OR cardinality(found_ids) > few() THEN found_ids := vehicles_page(who, 'vehicle', asked, p_after, p_limit); END IF;
    IF asked IS NOT NULL THEN
        things := people_found(asked);
        found_ids := found_ids || CASE WHEN cardinality(things) > few() THEN vehicles_page(who, 'owner', asked, p_after, p_limit)
            ELSE ARRAY(SELECT o.vehicle_id FROM ownership o WHERE o.account_id = ANY (things) AND o.valid_to IS NULL) END;
        things := trackers_found(asked);
        found_ids := found_ids || CASE WHEN cardinality(things) > few() THEN vehicles_page(who, 'tracker', asked, p_after, p_limit)
            ELSE ARRAY(SELECT i.vehicle_id FROM installation i WHERE i.tracker_id = ANY (things) AND i.valid_to IS NULL) END;
    END IF;
    RETURN QUERY SELECT jsonb_build_object('id', v.vehicle_id::text, 'plate', v.plate, 'kind', v.kind, 'make', v.make, 'model', v.model, 'colour', v.colour,
        'owner', a.name, 'owner_phone', masked_phone(a.phone), 'tracker', t.ident)
    FROM (SELECT * FROM vehicle v WHERE v.vehicle_id > p_after AND v.plate NOT LIKE 'erased-%' AND v.vehicle_id = ANY (found_ids)
            AND is_within(who, v.unit_id) ORDER BY v.vehicle_id LIMIT p_limit) v
    LEFT JOIN ownership o ON o.vehicle_id = v.vehicle_id AND o.valid_to IS NULL LEFT JOIN account a ON a.account_id = o.account_id AND is_within(who, a.unit_id)
    LEFT JOIN installation i ON i.vehicle_id = v.vehicle_id AND i.valid_to IS NULL LEFT JOIN tracker t ON t.tracker_id = i.tracker_id AND is_within(who, t.unit_id)
    ORDER BY v.vehicle_id;
    GET DIAGNOSTICS returned = ROW_COUNT;
    PERFORM write_audit(who.account_id, NULL, 'registry_search', jsonb_build_object('kind', 'vehicles', 'text', p_text), returned);
END $$;

CREATE FUNCTION api_registry_trackers(p_token bytea, p_text text, p_after bigint, p_limit integer) RETURNS SETOF jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE who asker := asker_of(p_token, 'operator', 'admin'); asked text := nullif(btrim(p_text), ''); found_ids bigint[]; returned integer;
BEGIN
    IF asked IS NOT NULL THEN found_ids := trackers_found(asked); END IF;
    IF asked IS NULL OR cardinality(found_ids) > few() THEN found_ids := trackers_page(who, asked, p_after, p_limit); END IF;
    RETURN QUERY SELECT jsonb_build_object('id', t.tracker_id::text, 'ident', t.ident, 'protocol', t.profile ->> 'protocol', 'model', t.model,
        'iccid', t.iccid, 'batch', t.batch, 'plate', v.plate)
    FROM (SELECT * FROM tracker t WHERE t.tracker_id > p_after AND t.tracker_id = ANY (found_ids) AND is_within(who, t.unit_id) ORDER BY t.tracker_id LIMIT p_limit) t
    LEFT JOIN installation i ON i.tracker_id = t.tracker_id AND i.valid_to IS NULL LEFT JOIN vehicle v ON v.vehicle_id = i.vehicle_id AND is_within(who, v.unit_id)
    ORDER BY t.tracker_id;
    GET DIAGNOSTICS returned = ROW_COUNT;
    PERFORM write_audit(who.account_id, NULL, 'registry_search', jsonb_build_object('kind', 'trackers', 'text', p_text), returned);
END $$;

-- Records. NULL where nothing is there that the asker may know of.
CREATE FUNCTION registry_record(who asker, p_kind text, p_id bigint) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
DECLARE record jsonb;
BEGIN
    IF p_kind = 'people' THEN
        SELECT jsonb_build_object('id', a.account_id::text, 'version', a.version, 'name', a.name, 'phone', a.phone, 'id_number_last4', a.id_number_last4,
            'is_invited', a.password_hash IS NOT NULL, 'created_at', a.created_at,
            'vehicles', coalesce((SELECT jsonb_agg(jsonb_build_object('id', v.vehicle_id::text, 'plate', v.plate, 'from', o.valid_from, 'to', o.valid_to) ORDER BY o.valid_from)
                FROM ownership o JOIN vehicle v USING (vehicle_id) WHERE o.account_id = a.account_id AND is_within(who, v.unit_id)), '[]'),
            'consents', coalesce((SELECT jsonb_agg(jsonb_build_object('version', c.version, 'given_at', c.given_at, 'channel', c.channel, 'withdrawn_at', c.withdrawn_at,
                    'withdrawn_channel', c.withdrawn_channel) ORDER BY c.given_at)
                FROM consent c WHERE c.account_id = a.account_id), '[]'))
        INTO record FROM account a WHERE a.account_id = p_id AND a.role IN ('owner', 'family') AND a.login NOT LIKE 'erased-%' AND is_within(who, a.unit_id);
    ELSIF p_kind = 'vehicles' THEN
        SELECT jsonb_build_object('id', v.vehicle_id::text, 'version', v.version, 'plate', v.plate, 'kind', v.kind, 'make', v.make, 'model', v.model, 'colour', v.colour,
            'frame_number', v.frame_number, 'motor_number', v.motor_number,
            'positioning_off_since', (SELECT p.off_at FROM positioning_off p WHERE p.vehicle_id = v.vehicle_id AND p.on_at IS NULL),
            'owners', coalesce((SELECT jsonb_agg(jsonb_build_object('id', a.account_id::text, 'name', a.name, 'phone', masked_phone(a.phone), 'from', o.valid_from, 'to', o.valid_to) ORDER BY o.valid_from)
                FROM ownership o JOIN account a USING (account_id) WHERE o.vehicle_id = v.vehicle_id AND is_within(who, a.unit_id)), '[]'),
            'trackers', coalesce((SELECT jsonb_agg(jsonb_build_object('id', t.tracker_id::text, 'ident', t.ident, 'from', i.valid_from, 'to', i.valid_to) ORDER BY i.valid_from)
                FROM installation i JOIN tracker t USING (tracker_id) WHERE i.vehicle_id = v.vehicle_id AND is_within(who, t.unit_id)), '[]'))
        INTO record FROM vehicle v WHERE v.vehicle_id = p_id AND v.plate NOT LIKE 'erased-%' AND is_within(who, v.unit_id);
    ELSE
        SELECT jsonb_build_object('id', t.tracker_id::text, 'version', t.version, 'ident', t.ident, 'protocol', t.profile ->> 'protocol', 'model', t.model, 'iccid', t.iccid,
            'sim_number', t.sim_number, 'batch', t.batch,
            'vehicles', coalesce((SELECT jsonb_agg(jsonb_build_object('id', v.vehicle_id::text, 'plate', v.plate, 'from', i.valid_from, 'to', i.valid_to) ORDER BY i.valid_from)
                FROM installation i JOIN vehicle v USING (vehicle_id) WHERE i.tracker_id = t.tracker_id AND is_within(who, v.unit_id)), '[]'))
        INTO record FROM tracker t WHERE t.tracker_id = p_id AND is_within(who, t.unit_id);
    END IF;
    RETURN record;
END $$;

CREATE FUNCTION api_registry_record(p_token bytea, p_kind text, p_id bigint, p_reason text) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE who asker := asker_of(p_token, 'operator', 'admin'); record jsonb := registry_record(who, p_kind, p_id);
BEGIN
    IF record IS NOT NULL THEN
        PERFORM write_audit(who.account_id, NULL, 'registry_record', jsonb_build_object('kind', p_kind, 'id', p_id::text, 'reason', p_reason), 1);
    END IF;
    RETURN record;
END $$;

CREATE FUNCTION api_registry_history(p_token bytea, p_kind text, p_id bigint, p_before bigint, p_limit integer) RETURNS SETOF jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE who asker := asker_of(p_token, 'operator', 'admin'); returned integer;
BEGIN
    IF registry_record(who, p_kind, p_id) IS NULL THEN PERFORM refuse('P0404', 'not_found', 'nothing of yours is there'); END IF;
    RETURN QUERY SELECT jsonb_build_object('id', c.change_id::text, 'at', c.at, 'kind', c.kind, 'by', a.name, 'reason', c.reason, 'import_id', c.import_id::text,
        'person_id', c.person_id::text, 'vehicle_id', c.vehicle_id::text, 'tracker_id', c.tracker_id::text,
        'was', coalesce(c.was, '{}') || CASE WHEN c.was ? 'phone' THEN jsonb_build_object('phone', masked_phone(c.was ->> 'phone')) ELSE '{}' END,
        'becomes', coalesce(c.becomes, '{}') || CASE WHEN c.becomes ? 'phone' THEN jsonb_build_object('phone', masked_phone(c.becomes ->> 'phone')) ELSE '{}' END)
    FROM registry_change c LEFT JOIN account a ON a.account_id = c.by_account
    WHERE (p_kind = 'people' AND c.person_id = p_id OR p_kind = 'vehicles' AND c.vehicle_id = p_id OR p_kind = 'trackers' AND c.tracker_id = p_id)
        AND (p_before IS NULL OR c.change_id < p_before) ORDER BY c.change_id DESC LIMIT p_limit;
    GET DIAGNOSTICS returned = ROW_COUNT;
    PERFORM write_audit(who.account_id, NULL, 'registry_history', jsonb_build_object('kind', p_kind, 'id', p_id::text), returned);
END $$;

-- A rule of a table that a write broke, as a refusal with a word.
CREATE FUNCTION refuse_taken(p_constraint text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM CASE
        WHEN p_constraint = 'account_phone_key' THEN refuse('P0409', 'phone_taken', 'the phone number is somebody else''s')
        WHEN p_constraint LIKE 'vehicle%' THEN refuse('P0409', 'plate_taken', 'another vehicle has this plate')
        WHEN p_constraint = 'tracker_ident_key' THEN refuse('P0409', 'ident_taken', 'another tracker has this identifier')
        WHEN p_constraint IN ('installation_tracker', 'installation_one_vehicle', 'installation_pkey') THEN refuse('P0409', 'tracker_elsewhere', 'the tracker is in another vehicle')
        WHEN p_constraint IN ('installation_vehicle', 'installation_one_tracker') THEN refuse('P0409', 'vehicle_has_tracker', 'the vehicle carries another tracker; replace it')
        ELSE refuse('P0409', 'refused', 'it is there already') END;
END $$;

-- Makes a thing (p_id NULL), or changes the fields given of the version that was seen. The record as it is then.
CREATE FUNCTION api_registry_put(p_token bytea, p_kind text, p_id bigint, p_version integer, p_fields jsonb, p_reason text, p_key text, p_asked bytea) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    who asker := asker_of(p_token, 'operator', 'admin');
    id bigint := coalesce(p_id, made_before(who.account_id, p_key, p_asked));
    before jsonb;
    broken text;
BEGIN
    IF p_id IS NULL AND id IS NOT NULL THEN RETURN registry_record(who, p_kind, id); END IF;
    PERFORM changes_are_of(who.account_id, p_reason);
    IF id IS NOT NULL THEN
        -- Who waits here for another's change sees the version that it made.
        PERFORM FROM account WHERE p_kind = 'people' AND account_id = id FOR UPDATE;
        PERFORM FROM vehicle WHERE p_kind = 'vehicles' AND vehicle_id = id FOR UPDATE;
        PERFORM FROM tracker WHERE p_kind = 'trackers' AND tracker_id = id FOR UPDATE;
        before := registry_record(who, p_kind, id);
        IF before IS NULL THEN PERFORM refuse('P0404', 'not_found', 'nothing of yours is there'); END IF;
        IF (before ->> 'version')::integer <> p_version THEN
            PERFORM refuse('P0409', 'version_changed', 'somebody has changed it since it was read; read it again', jsonb_build_object('version', before -> 'version'));
        END IF;
    END IF;
    IF p_kind = 'people' AND id IS NULL THEN
        INSERT INTO account (login, name, role, phone, unit_id, id_number_hmac, id_number_last4)
        VALUES ('u' || to_hex(random_id()), p_fields ->> 'name', 'owner', p_fields ->> 'phone', who.unit_id, decode(p_fields ->> 'id_number_hmac', 'hex'), p_fields ->> 'id_number_last4')
        RETURNING account_id INTO id;
    ELSIF p_kind = 'people' THEN
        UPDATE account SET name = coalesce(p_fields ->> 'name', name), phone = CASE WHEN p_fields ? 'phone' THEN p_fields ->> 'phone' ELSE phone END,
            id_number_hmac = CASE WHEN p_fields ? 'id_number_hmac' THEN decode(p_fields ->> 'id_number_hmac', 'hex') ELSE id_number_hmac END,
            id_number_last4 = CASE WHEN p_fields ? 'id_number_hmac' THEN p_fields ->> 'id_number_last4' ELSE id_number_last4 END
        WHERE account_id = id;
    ELSIF p_kind = 'vehicles' AND id IS NULL THEN
        INSERT INTO vehicle (plate, kind, make, model, colour, frame_number, motor_number, unit_id)
        VALUES (p_fields ->> 'plate', p_fields ->> 'kind', coalesce(p_fields ->> 'make', ''), coalesce(p_fields ->> 'model', ''), coalesce(p_fields ->> 'colour', ''),
            p_fields ->> 'frame_number', p_fields ->> 'motor_number', who.unit_id) RETURNING vehicle_id INTO id;
        IF p_fields ? 'owner_id' THEN
            IF registry_record(who, 'people', (p_fields ->> 'owner_id')::bigint) IS NULL THEN PERFORM refuse('P0404', 'not_found', 'nothing of yours is there'); END IF;
            INSERT INTO ownership (vehicle_id, account_id) VALUES (id, (p_fields ->> 'owner_id')::bigint);
        END IF;
    ELSIF p_kind = 'vehicles' THEN
        UPDATE vehicle SET plate = coalesce(p_fields ->> 'plate', plate), kind = coalesce(p_fields ->> 'kind', kind), make = coalesce(p_fields ->> 'make', make),
            model = coalesce(p_fields ->> 'model', model), colour = coalesce(p_fields ->> 'colour', colour),
            frame_number = CASE WHEN p_fields ? 'frame_number' THEN p_fields ->> 'frame_number' ELSE frame_number END,
            motor_number = CASE WHEN p_fields ? 'motor_number' THEN p_fields ->> 'motor_number' ELSE motor_number END
        WHERE vehicle_id = id;
    ELSIF id IS NULL THEN
        INSERT INTO tracker (ident, profile, model, iccid, sim_number, batch, unit_id)
        VALUES (p_fields ->> 'ident', p_fields -> 'profile', coalesce(p_fields ->> 'model', ''), p_fields ->> 'iccid', p_fields ->> 'sim_number', coalesce(p_fields ->> 'batch', ''), who.unit_id)
        RETURNING tracker_id INTO id;
    ELSE
        UPDATE tracker SET profile = profile || coalesce(p_fields -> 'profile_change', '{}'), model = coalesce(p_fields ->> 'model', model), batch = coalesce(p_fields ->> 'batch', batch),
            iccid = CASE WHEN p_fields ? 'iccid' THEN p_fields ->> 'iccid' ELSE iccid END,
            sim_number = CASE WHEN p_fields ? 'sim_number' THEN p_fields ->> 'sim_number' ELSE sim_number END
        WHERE tracker_id = id;
    END IF;
    IF p_id IS NULL THEN PERFORM remember_made(who.account_id, p_key, p_asked, id); END IF;
    PERFORM write_audit(who.account_id, NULL, CASE WHEN p_id IS NULL THEN 'registry_add' ELSE 'registry_change' END,
        jsonb_build_object('kind', p_kind, 'id', id::text, 'reason', p_reason, 'fields', (SELECT jsonb_agg(k) FROM jsonb_object_keys(p_fields) k)), 1);
    RETURN registry_record(who, p_kind, id);
EXCEPTION WHEN unique_violation OR exclusion_violation THEN
    GET STACKED DIAGNOSTICS broken = CONSTRAINT_NAME;
    PERFORM refuse_taken(broken);
END $$;

-- Puts a tracker into a vehicle, in place of the one there if so asked; without one, takes the tracker out.
CREATE FUNCTION api_registry_install(p_token bytea, p_vehicle bigint, p_tracker bigint, p_replace boolean, p_reason text) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE who asker := asker_of(p_token, 'operator', 'admin'); at timestamptz; broken text; carried bigint;
BEGIN
    PERFORM FROM vehicle WHERE vehicle_id = p_vehicle FOR UPDATE;
    IF registry_record(who, 'vehicles', p_vehicle) IS NULL OR p_tracker IS NOT NULL AND registry_record(who, 'trackers', p_tracker) IS NULL THEN
        PERFORM refuse('P0404', 'not_found', 'nothing of yours is there');
    END IF;
    PERFORM changes_are_of(who.account_id, p_reason);
    at := clock_timestamp();
    SELECT tracker_id INTO carried FROM installation WHERE vehicle_id = p_vehicle AND valid_to IS NULL;
    IF carried IS DISTINCT FROM p_tracker THEN
        IF carried IS NOT NULL AND (p_replace OR p_tracker IS NULL) THEN
            UPDATE installation SET valid_to = greatest(at, valid_from + interval '1 microsecond') WHERE vehicle_id = p_vehicle AND valid_to IS NULL RETURNING valid_to INTO at;
        END IF;
        IF p_tracker IS NOT NULL THEN INSERT INTO installation (tracker_id, vehicle_id, valid_from) VALUES (p_tracker, p_vehicle, at); END IF;
    END IF;
    PERFORM write_audit(who.account_id, NULL, 'registry_install', jsonb_build_object('vehicle', p_vehicle::text, 'tracker', p_tracker::text, 'was', carried::text, 'reason', p_reason), 1);
    RETURN registry_record(who, 'vehicles', p_vehicle);
EXCEPTION WHEN unique_violation OR exclusion_violation THEN
    GET STACKED DIAGNOSTICS broken = CONSTRAINT_NAME;
    PERFORM refuse_taken(broken);
END $$;

-- Imports. `who` is whom it acts for: the rights of the one that made it, taken when it was made.
CREATE TABLE import_job (
    import_id bigint DEFAULT random_id() PRIMARY KEY,
    who asker NOT NULL,
    file_name text NOT NULL CHECK (length(file_name) BETWEEN 1 AND 128),
    state text NOT NULL DEFAULT 'new' CHECK (state IN ('new', 'filling', 'checked', 'running', 'done', 'cancelled')),
    headers jsonb NOT NULL DEFAULT '[]',
    mapping jsonb NOT NULL DEFAULT '[]',
    only_good boolean,
    reason text NOT NULL,
    rows integer NOT NULL DEFAULT 0,
    bad integer NOT NULL DEFAULT 0,
    -- The last line that is done; written with what the lines made, so that a kill leaves nothing twice.
    position integer NOT NULL DEFAULT 0,
    gone_through integer NOT NULL DEFAULT 0,
    refused integer NOT NULL DEFAULT 0,
    people_made integer NOT NULL DEFAULT 0,
    vehicles_made integer NOT NULL DEFAULT 0,
    trackers_made integer NOT NULL DEFAULT 0,
    made_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    ended_at timestamptz
);
CREATE INDEX import_running ON import_job (started_at) WHERE state = 'running';
-- Lines of a file until it is imported: as they came, and as they are understood (NULL: they cannot be).
CREATE TABLE import_row (
    import_id bigint NOT NULL REFERENCES import_job ON DELETE CASCADE,
    line integer NOT NULL,
    cells jsonb NOT NULL,
    content jsonb,
    PRIMARY KEY (import_id, line)
);
CREATE TABLE import_problem (
    import_id bigint NOT NULL REFERENCES import_job ON DELETE CASCADE,
    line integer NOT NULL,
    field text NOT NULL,
    value text NOT NULL,
    code text NOT NULL,
    allowed text NOT NULL,
    PRIMARY KEY (import_id, line, field)
);
CREATE VIEW import_line AS SELECT r.import_id, r.line, c.* FROM import_row r, LATERAL jsonb_to_record(r.content) AS c (
    name text, phone text, id_number_hmac text, id_number_last4 text, plate text, plate_key text, kind text, make text, model text, colour text,
    frame_number text, motor_number text, ident text, profile jsonb, tracker_model text, iccid text, sim_number text, batch text)
WHERE r.content IS NOT NULL;

CREATE FUNCTION import_as_json(j import_job) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object('id', j.import_id::text, 'file_name', j.file_name, 'state', j.state, 'headers', j.headers, 'mapping', j.mapping, 'only_good', j.only_good,
        'reason', j.reason, 'rows', j.rows, 'bad', j.bad, 'gone_through', j.gone_through, 'refused', j.refused, 'people_made', j.people_made,
        'vehicles_made', j.vehicles_made, 'trackers_made', j.trackers_made, 'made_at', j.made_at, 'started_at', j.started_at, 'ended_at', j.ended_at)
$$;

CREATE FUNCTION import_make(p_who asker, p_file_name text, p_reason text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE id bigint;
BEGIN
    INSERT INTO import_job (who, file_name, reason) VALUES (p_who, p_file_name, p_reason) RETURNING import_id INTO id;
    PERFORM write_audit(p_who.account_id, NULL, 'import', jsonb_build_object('import', id::text, 'file', p_file_name, 'reason', p_reason), NULL);
    RETURN id;
END $$;

-- Begins to take lines, of a first file or of the same one with another mapping.
CREATE FUNCTION import_begin(p_import bigint, p_headers jsonb, p_mapping jsonb, p_keeps_rows boolean) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE import_job SET state = 'filling', headers = coalesce(p_headers, headers), mapping = p_mapping, rows = 0, bad = 0 WHERE import_id = p_import AND state IN ('new', 'filling', 'checked');
    IF NOT FOUND THEN PERFORM refuse('P0409', 'import_begun', 'this import has begun; make another one'); END IF;
    DELETE FROM import_problem WHERE import_id = p_import;
    IF NOT p_keeps_rows THEN DELETE FROM import_row WHERE import_id = p_import; END IF;
END $$;

-- Some lines: [line, cells, content or null], and what is wrong in them: [line, field, value, code, allowed].
CREATE FUNCTION import_fill(p_import bigint, p_rows jsonb, p_problems jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM import_job WHERE import_id = p_import AND state = 'filling' FOR UPDATE;
    IF NOT FOUND THEN PERFORM refuse('P0409', 'import_begun', 'this import has begun; make another one'); END IF;
    INSERT INTO import_row (import_id, line, cells, content) SELECT p_import, (r ->> 0)::integer, r -> 1, CASE WHEN jsonb_typeof(r -> 2) = 'object' THEN r -> 2 END
    FROM jsonb_array_elements(p_rows) r ON CONFLICT (import_id, line) DO UPDATE SET content = EXCLUDED.content;
    INSERT INTO import_problem (import_id, line, field, value, code, allowed) SELECT p_import, (r ->> 0)::integer, r ->> 1, r ->> 2, r ->> 3, r ->> 4
    FROM jsonb_array_elements(p_problems) r ON CONFLICT DO NOTHING;
END $$;

-- A line of a file with what the registry has of its things; `own_…`: the importer's organisation keeps it.
CREATE TYPE import_found AS (line import_line, account_id bigint, is_new_person boolean, own_person boolean, role text, has_name text,
    vehicle_id bigint, is_new_vehicle boolean, own_vehicle boolean, is_shared boolean, owner bigint,
    tracker_id bigint, is_new_tracker boolean, own_tracker boolean, carried bigint, carrier bigint);
-- Thousands of lines a second: each thing is looked up once, by its index, whatever the plan's estimates are.
CREATE FUNCTION import_find(j import_job, p_after integer, p_to integer) RETURNS import_found[] LANGUAGE plpgsql STABLE
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    chunk import_line[] := ARRAY(SELECT l FROM import_line l WHERE import_id = j.import_id AND line > p_after AND line <= p_to ORDER BY line);
    -- The wall, as `is_within` has it, without a question for each row.
    units bigint[] := ARRAY(SELECT unit_id FROM unit WHERE is_within(j.who, unit_id));
    unowned boolean := is_within(j.who, NULL);
BEGIN
    RETURN ARRAY(SELECT ROW(l, a.account_id, false, CASE WHEN a.unit_id IS NULL THEN unowned ELSE a.unit_id = ANY (units) END, a.role, a.name,
            v.vehicle_id, false, CASE WHEN v.unit_id IS NULL THEN unowned ELSE v.unit_id = ANY (units) END, strpos(v.plate, '#') > 0, o.account_id,
            t.tracker_id, false, CASE WHEN t.unit_id IS NULL THEN unowned ELSE t.unit_id = ANY (units) END, iv.tracker_id, it.vehicle_id)::import_found
        FROM unnest(chunk) l LEFT JOIN account a ON a.phone = l.phone LEFT JOIN vehicle v ON v.plate_key = l.plate_key AND v.plate_key <> ''
        LEFT JOIN tracker t ON t.ident = l.ident LEFT JOIN ownership o ON o.vehicle_id = v.vehicle_id AND o.valid_to IS NULL
        LEFT JOIN installation iv ON iv.vehicle_id = v.vehicle_id AND iv.valid_to IS NULL LEFT JOIN installation it ON it.tracker_id = t.tracker_id AND it.valid_to IS NULL);
END $$;

-- What the registry has against lines of a file: notes each, and forgets what it was understood as. Whether it has anything.
CREATE FUNCTION import_judge(p_import bigint, p_found import_found[]) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO import_problem (import_id, line, field, value, code, allowed)
    SELECT p_import, (f.line).line, p.field, p.value, p.code, '' FROM unnest(p_found) f, LATERAL (VALUES
        ('phone', (f.line).phone, CASE WHEN f.account_id IS NOT NULL AND (NOT f.own_person OR f.role NOT IN ('owner', 'family')) THEN 'phone_taken' END),
        ('name', (f.line).name, CASE WHEN f.account_id IS NOT NULL AND f.own_person AND f.role IN ('owner', 'family') AND (f.line).name <> f.has_name THEN 'phone_of_other_name' END),
        ('plate', (f.line).plate, CASE WHEN f.vehicle_id IS NULL THEN NULL WHEN f.is_shared THEN 'plate_shared' WHEN NOT f.own_vehicle THEN 'plate_taken'
            WHEN (f.line).phone IS NOT NULL AND f.owner IS NOT NULL AND f.owner IS DISTINCT FROM f.account_id THEN 'plate_of_other_owner' END),
        ('ident', (f.line).ident, CASE WHEN f.tracker_id IS NOT NULL AND NOT f.own_tracker THEN 'ident_taken'
            WHEN f.own_tracker AND (f.line).plate IS NOT NULL AND f.carrier IS NOT NULL AND f.carrier IS DISTINCT FROM f.vehicle_id THEN 'tracker_elsewhere'
            WHEN f.own_vehicle AND (f.line).ident IS NOT NULL AND f.carried IS NOT NULL AND f.carried IS DISTINCT FROM f.tracker_id THEN 'vehicle_has_tracker' END)
    ) p (field, value, code) WHERE p.code IS NOT NULL ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN RETURN false; END IF;
    UPDATE import_row r SET content = NULL FROM unnest(p_found) f WHERE r.import_id = p_import AND r.line = (f.line).line
        AND EXISTS (SELECT FROM import_problem p WHERE p.import_id = p_import AND p.line = r.line);
    RETURN true;
END $$;

-- Everything is there: what lines repeat, and what the registry has against them. How many rows, and how many are bad.
CREATE FUNCTION import_checked(p_import bigint) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE j import_job; first integer; last integer;
BEGIN
    INSERT INTO import_problem (import_id, line, field, value, code, allowed)
    SELECT p_import, r.line, field, value, 'repeated', r.first::text FROM (
        WITH of AS (SELECT line, content ->> 'plate' AS plate, content ->> 'plate_key' AS plate_key, content ->> 'ident' AS ident, content ->> 'name' AS name, content ->> 'phone' AS phone
            FROM import_row WHERE import_id = p_import AND content IS NOT NULL)
        SELECT line, 'plate' AS field, plate AS value, min(line) OVER (PARTITION BY plate_key) AS first FROM of WHERE plate IS NOT NULL
        UNION ALL SELECT line, 'ident', ident, min(line) OVER (PARTITION BY ident) FROM of WHERE ident IS NOT NULL
        UNION ALL SELECT line, 'name', name, CASE WHEN first_value(name) OVER w = name THEN line ELSE first_value(line) OVER w END FROM of
            WHERE phone IS NOT NULL WINDOW w AS (PARTITION BY phone ORDER BY line)) r
    WHERE r.line <> r.first ON CONFLICT DO NOTHING;
    UPDATE import_row r SET content = NULL FROM import_problem p WHERE p.import_id = p_import AND r.import_id = p_import AND r.line = p.line AND r.content IS NOT NULL;
    SELECT * INTO j FROM import_job WHERE import_id = p_import;
    FOR first, last IN SELECT min(line), max(line) FROM import_row WHERE import_id = p_import GROUP BY line / 1000 ORDER BY 1 LOOP
        PERFORM import_judge(p_import, import_find(j, first - 1, last));
    END LOOP;
    UPDATE import_job SET state = 'checked', rows = n.all_rows, bad = n.bad
    FROM (SELECT count(*) AS all_rows, count(*) FILTER (WHERE content IS NULL) AS bad FROM import_row WHERE import_id = p_import) n
    WHERE import_id = p_import AND state = 'filling' RETURNING import_job.* INTO j;
    IF NOT FOUND THEN PERFORM refuse('P0409', 'import_begun', 'this import has begun; make another one'); END IF;
    RETURN import_as_json(j);
END $$;

CREATE FUNCTION import_start(p_import bigint, p_only_good boolean) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE j import_job;
BEGIN
    SELECT * INTO j FROM import_job WHERE import_id = p_import FOR UPDATE;
    IF j.state = 'running' OR j.state = 'done' THEN RETURN import_as_json(j); END IF;
    IF j.state <> 'checked' THEN PERFORM refuse('P0409', 'import_not_checked', 'the file has not been read yet'); END IF;
    IF j.bad > 0 AND NOT p_only_good THEN
        PERFORM refuse('P0409', 'import_has_bad_rows', format('%s of %s rows are bad; mend them, or import the good ones only', j.bad, j.rows), jsonb_build_object('bad', j.bad, 'rows', j.rows));
    END IF;
    UPDATE import_job SET state = 'running', only_good = p_only_good, started_at = now() WHERE import_id = p_import RETURNING * INTO j;
    PERFORM write_audit((j.who).account_id, NULL, 'import_start', jsonb_build_object('import', p_import::text, 'rows', j.rows, 'bad', j.bad, 'only_good', p_only_good), NULL);
    RETURN import_as_json(j);
END $$;

-- Enters the things of some lines that the registry does not have. Somebody else's same thing in the same moment makes it fail.
-- The lines, with the numbers of everything.
CREATE FUNCTION import_enter(j import_job, p_found import_found[]) RETURNS import_found[] LANGUAGE plpgsql AS $$
DECLARE
    things import_found[];
    made integer;
    -- What is in no unit is looked after as ever, but that is asked once.
    unit bigint := coalesce((j.who).unit_id, home_unit());
BEGIN
    things := ARRAY(SELECT ROW(f.line,
            coalesce(f.account_id, CASE WHEN (f.line).phone IS NOT NULL THEN first_value(random_id()) OVER (PARTITION BY (f.line).phone ORDER BY (f.line).line) END),
            f.account_id IS NULL AND (f.line).phone IS NOT NULL, f.account_id IS NULL OR f.own_person, f.role, f.has_name,
            coalesce(f.vehicle_id, CASE WHEN (f.line).plate IS NOT NULL THEN random_id() END), f.vehicle_id IS NULL AND (f.line).plate IS NOT NULL, f.vehicle_id IS NULL OR f.own_vehicle, false, f.owner,
            coalesce(f.tracker_id, CASE WHEN (f.line).ident IS NOT NULL THEN nextval('tracker_tracker_id_seq') END), f.tracker_id IS NULL AND (f.line).ident IS NOT NULL, f.tracker_id IS NULL OR f.own_tracker, f.carried, f.carrier)::import_found
        FROM unnest(p_found) f);
    INSERT INTO account (account_id, login, name, role, phone, unit_id, id_number_hmac, id_number_last4)
    SELECT DISTINCT ON ((f.line).phone) account_id, 'u' || right(replace(gen_random_uuid()::text, '-', ''), 14), (f.line).name, 'owner', (f.line).phone, unit, decode((f.line).id_number_hmac, 'hex'), (f.line).id_number_last4
    FROM unnest(things) f WHERE is_new_person ORDER BY (f.line).phone, (f.line).id_number_hmac IS NULL, (f.line).line;
    INSERT INTO vehicle (vehicle_id, plate, kind, make, model, colour, frame_number, motor_number, unit_id)
    SELECT vehicle_id, (f.line).plate, (f.line).kind, coalesce((f.line).make, ''), coalesce((f.line).model, ''), coalesce((f.line).colour, ''), (f.line).frame_number, (f.line).motor_number, unit
    FROM unnest(things) f WHERE is_new_vehicle ORDER BY (f.line).plate_key;
    INSERT INTO tracker (tracker_id, ident, profile, model, iccid, sim_number, batch, unit_id) OVERRIDING SYSTEM VALUE
    SELECT tracker_id, (f.line).ident, (f.line).profile, coalesce((f.line).tracker_model, ''), (f.line).iccid, (f.line).sim_number, coalesce((f.line).batch, ''), unit
    FROM unnest(things) f WHERE is_new_tracker ORDER BY (f.line).ident;
    INSERT INTO ownership (vehicle_id, account_id)
    SELECT vehicle_id, account_id FROM unnest(things) f WHERE vehicle_id IS NOT NULL AND account_id IS NOT NULL AND owner IS NULL AND own_vehicle AND own_person;
    -- As the trigger on ownerships does, for those who can have withdrawn a consent.
    PERFORM switch_positioning(f.vehicle_id, true, f.account_id, 'consent') FROM unnest(things) f
    WHERE vehicle_id IS NOT NULL AND owner IS NULL AND own_vehicle AND own_person AND NOT is_new_person AND account_id IS NOT NULL AND consent_is_withdrawn(account_id);
    -- A new tracker in a new vehicle has no lane before it: one setting tells everything of it.
    INSERT INTO installation (tracker_id, vehicle_id) SELECT tracker_id, vehicle_id FROM unnest(things) f WHERE is_new_vehicle AND is_new_tracker;
    INSERT INTO registry_change (kind, person_id, vehicle_id, tracker_id, by_account, reason, import_id)
    SELECT 'enrolled', account_id, vehicle_id, tracker_id, (j.who).account_id, j.reason, j.import_id
    FROM unnest(things) f WHERE is_new_person OR is_new_vehicle OR is_new_tracker;
    RETURN things;
END $$;

-- New facts of what was there already, and the rest of the installations, as if a person had entered them.
CREATE FUNCTION import_change(p_found import_found[]) RETURNS void LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    UPDATE vehicle v SET kind = l.kind, make = coalesce(l.make, v.make), model = coalesce(l.model, v.model), colour = coalesce(l.colour, v.colour),
        frame_number = coalesce(l.frame_number, v.frame_number), motor_number = coalesce(l.motor_number, v.motor_number)
    FROM unnest(p_found) f, LATERAL (SELECT (f.line).*) l WHERE v.vehicle_id = f.vehicle_id AND NOT f.is_new_vehicle AND f.own_vehicle
        AND (v.kind, v.make, v.model, v.colour, v.frame_number, v.motor_number) IS DISTINCT FROM
            (l.kind, coalesce(l.make, v.make), coalesce(l.model, v.model), coalesce(l.colour, v.colour), coalesce(l.frame_number, v.frame_number), coalesce(l.motor_number, v.motor_number));
    UPDATE tracker t SET profile = t.profile || jsonb_build_object('protocol', l.profile -> 'protocol'), model = coalesce(l.tracker_model, t.model), iccid = coalesce(l.iccid, t.iccid),
        sim_number = coalesce(l.sim_number, t.sim_number), batch = coalesce(l.batch, t.batch)
    FROM unnest(p_found) f, LATERAL (SELECT (f.line).*) l WHERE t.tracker_id = f.tracker_id AND NOT f.is_new_tracker AND f.own_tracker
        AND (t.profile -> 'protocol', t.model, t.iccid, t.sim_number, t.batch) IS DISTINCT FROM
            (l.profile -> 'protocol', coalesce(l.tracker_model, t.model), coalesce(l.iccid, t.iccid), coalesce(l.sim_number, t.sim_number), coalesce(l.batch, t.batch));
    UPDATE account a SET id_number_hmac = decode(l.id_number_hmac, 'hex'), id_number_last4 = l.id_number_last4
    FROM unnest(p_found) f, LATERAL (SELECT (f.line).*) l WHERE a.account_id = f.account_id AND NOT f.is_new_person AND f.own_person AND l.id_number_hmac IS NOT NULL
        AND a.role IN ('owner', 'family') AND a.id_number_hmac IS DISTINCT FROM decode(l.id_number_hmac, 'hex');
    INSERT INTO installation (tracker_id, vehicle_id) SELECT tracker_id, vehicle_id FROM unnest(p_found) f
    WHERE vehicle_id IS NOT NULL AND tracker_id IS NOT NULL AND NOT (is_new_vehicle AND is_new_tracker) AND carried IS NULL AND carrier IS NULL AND own_vehicle AND own_tracker;
END $$;

-- Does some lines: what the registry has against them, what is new, what changes. The lines, with the numbers of everything.
CREATE FUNCTION import_lines(j import_job, p_after integer, p_to integer) RETURNS import_found[] LANGUAGE plpgsql AS $$
DECLARE things import_found[] := import_find(j, p_after, p_to); lanes smallint[];
BEGIN
    -- The registry may have changed since the file was checked.
    IF import_judge(j.import_id, things) THEN things := import_find(j, p_after, p_to); END IF;
    PERFORM changes_are_of((j.who).account_id, j.reason, j.import_id), set_config('rideguard.in_bulk', 'on', true);
    things := import_enter(j, things);
    PERFORM set_config('rideguard.in_bulk', '', true);
    PERFORM import_change(things);
    -- The order of settings is the order of commits: the lock is taken last, and kept for as short as can be.
    IF EXISTS (SELECT FROM unnest(things) f WHERE is_new_tracker) THEN
        PERFORM pg_advisory_xact_lock(7241001);
        WITH told AS (INSERT INTO setting (lane, content) SELECT lane_of((f.line).ident), jsonb_build_object('kind', 'tracker', 'tracker', tracker_id, 'ident', (f.line).ident,
                'profile', (f.line).profile, 'vehicle', i.vehicle_id, 'vehicle_kind', CASE WHEN i.vehicle_id IS NOT NULL THEN (f.line).kind END)
            FROM unnest(things) f, LATERAL (SELECT CASE WHEN carried IS NULL AND own_vehicle THEN f.vehicle_id END) i (vehicle_id) WHERE is_new_tracker RETURNING lane)
        SELECT array_agg(DISTINCT lane) INTO lanes FROM told;
        PERFORM pg_notify('setting', lane::text) FROM unnest(lanes) lane;
    END IF;
    RETURN things;
END $$;

-- Does the next lines of an import that somebody has started, all of them and their place in one transaction. NULL: none runs.
CREATE FUNCTION import_step(p_import bigint, p_lines integer) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    j import_job;
    last integer;
    one integer;
    broken text;
    things import_found[];
BEGIN
    SELECT * INTO j FROM import_job WHERE state = 'running' AND (p_import IS NULL OR import_id = p_import) ORDER BY started_at LIMIT 1 FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        -- Nothing of people stays that is not wanted any more.
        DELETE FROM import_job WHERE made_at < now() - interval '30 days' AND state <> 'running';
        DELETE FROM import_row WHERE import_id IN (SELECT import_id FROM import_job WHERE state IN ('new', 'filling', 'checked') AND made_at < now() - interval '2 days');
        UPDATE import_job SET state = 'cancelled', ended_at = now() WHERE state IN ('new', 'filling', 'checked') AND made_at < now() - interval '2 days';
        DELETE FROM idempotent_call WHERE at < now() - interval '1 day';
        RETURN NULL;
    END IF;
    SELECT max(line) INTO last FROM (SELECT line FROM import_row WHERE import_id = j.import_id AND line > j.position ORDER BY line LIMIT p_lines) l;
    -- Whoever lost their right to import in the meantime imports no more.
    IF (j.who).account_id IS NOT NULL AND NOT EXISTS (SELECT FROM account a WHERE a.account_id = (j.who).account_id AND NOT a.disabled
            AND a.role = (j.who).role AND a.unit_id IS NOT DISTINCT FROM (j.who).unit_id) THEN
        UPDATE import_job SET state = 'cancelled', ended_at = now() WHERE import_id = j.import_id RETURNING * INTO j;
        DELETE FROM import_row WHERE import_id = j.import_id;
        RETURN import_as_json(j);
    END IF;
    IF last IS NULL THEN
        UPDATE import_job SET state = 'done', ended_at = now() WHERE import_id = j.import_id RETURNING * INTO j;
        DELETE FROM import_row WHERE import_id = j.import_id;
        PERFORM write_audit((j.who).account_id, NULL, 'import_done', jsonb_build_object('import', j.import_id::text, 'refused', j.refused), j.gone_through);
        RETURN import_as_json(j);
    END IF;
    BEGIN
        things := import_lines(j, j.position, last);
    EXCEPTION WHEN integrity_constraint_violation OR data_exception THEN
        -- Somebody entered the same in this moment, or a table refuses a line: each by itself then, so that one keeps no other one out.
        things := '{}';
        FOR one IN SELECT line FROM import_row WHERE import_id = j.import_id AND line > j.position AND line <= last AND content IS NOT NULL ORDER BY line LOOP
            BEGIN
                things := things || import_lines(j, one - 1, one);
            EXCEPTION WHEN integrity_constraint_violation OR data_exception THEN
                GET STACKED DIAGNOSTICS broken = CONSTRAINT_NAME;
                INSERT INTO import_problem (import_id, line, field, value, code, allowed) VALUES (j.import_id, one, 'line', '', 'refused', broken) ON CONFLICT DO NOTHING;
                UPDATE import_row SET content = NULL WHERE import_id = j.import_id AND line = one;
            END;
        END LOOP;
    END;
    UPDATE import_job SET position = last, gone_through = gone_through + n.all_lines, refused = refused + n.bad,
        people_made = people_made + m.people, vehicles_made = vehicles_made + m.vehicles, trackers_made = trackers_made + m.trackers
    FROM (SELECT count(*) AS all_lines, count(*) FILTER (WHERE content IS NULL) AS bad FROM import_row WHERE import_id = j.import_id AND line > j.position AND line <= last) n,
        (SELECT count(DISTINCT account_id) FILTER (WHERE is_new_person) AS people, count(*) FILTER (WHERE is_new_vehicle) AS vehicles, count(*) FILTER (WHERE is_new_tracker) AS trackers FROM unnest(things) f) m
    WHERE import_id = j.import_id RETURNING import_job.* INTO j;
    RETURN import_as_json(j);
END $$;

-- The same for the API. The worker passes no data and no person on: it only drives what somebody has started.
CREATE FUNCTION api_import_step(p_lines integer) RETURNS jsonb LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT import_step(NULL, least(p_lines, 2000))
$$;
CREATE FUNCTION own_import(p_token bytea, p_import bigint) RETURNS import_job LANGUAGE plpgsql AS $$
DECLARE me asker := asker_of(p_token, 'operator', 'admin'); j import_job;
BEGIN
    SELECT * INTO j FROM import_job WHERE import_id = p_import AND is_within(me, (import_job.who).unit_id);
    IF NOT FOUND THEN PERFORM refuse('P0404', 'not_found', 'nothing of yours is there'); END IF;
    RETURN j;
END $$;
CREATE FUNCTION api_import_make(p_token bytea, p_file_name text, p_reason text, p_key text, p_asked bytea) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE who asker := asker_of(p_token, 'operator', 'admin'); id bigint := made_before(who.account_id, p_key, p_asked);
BEGIN
    IF id IS NULL THEN
        IF (SELECT count(*) FROM import_job i WHERE (i.who).account_id = who.account_id AND i.state IN ('new', 'filling', 'checked', 'running')) >= 10 THEN
            PERFORM refuse('P0409', 'imports_full', 'there are 10 imports that have not ended; cancel some', jsonb_build_object('max', 10));
        END IF;
        id := import_make(who, p_file_name, p_reason);
        PERFORM remember_made(who.account_id, p_key, p_asked, id);
    END IF;
    RETURN (SELECT import_as_json(i) FROM import_job i WHERE import_id = id);
END $$;
CREATE FUNCTION api_imports(p_token bytea, p_limit integer) RETURNS SETOF jsonb LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE me asker := asker_of(p_token, 'operator', 'admin');
BEGIN
    RETURN QUERY SELECT import_as_json(i) FROM import_job i WHERE is_within(me, (i.who).unit_id) ORDER BY made_at DESC LIMIT p_limit;
END $$;
CREATE FUNCTION api_import(p_token bytea, p_import bigint) RETURNS jsonb LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT import_as_json(own_import(p_token, p_import))
$$;
CREATE FUNCTION api_import_begin(p_token bytea, p_import bigint, p_headers jsonb, p_mapping jsonb, p_keeps_rows boolean) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM import_begin((own_import(p_token, p_import)).import_id, p_headers, p_mapping, p_keeps_rows);
END $$;
CREATE FUNCTION api_import_fill(p_token bytea, p_import bigint, p_rows jsonb, p_problems jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM import_fill((own_import(p_token, p_import)).import_id, p_rows, p_problems);
END $$;
CREATE FUNCTION api_import_checked(p_token bytea, p_import bigint) RETURNS jsonb LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    RETURN import_checked((own_import(p_token, p_import)).import_id);
END $$;
CREATE FUNCTION api_import_start(p_token bytea, p_import bigint, p_only_good boolean) RETURNS jsonb LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    RETURN import_start((own_import(p_token, p_import)).import_id, p_only_good);
END $$;
CREATE FUNCTION api_import_cancel(p_token bytea, p_import bigint) RETURNS jsonb LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE me asker := asker_of(p_token, 'operator', 'admin'); j import_job;
BEGIN
    IF NOT EXISTS (SELECT FROM import_job i WHERE i.import_id = p_import AND is_within(me, (i.who).unit_id)) THEN
        PERFORM refuse('P0404', 'not_found', 'nothing of yours is there');
    END IF;
    UPDATE import_job SET state = 'cancelled', ended_at = now() WHERE import_id = p_import AND state NOT IN ('done', 'cancelled') RETURNING * INTO j;
    IF FOUND THEN
        DELETE FROM import_row WHERE import_id = p_import;
        PERFORM write_audit(me.account_id, NULL, 'import_cancel', jsonb_build_object('import', p_import::text), NULL);
    ELSE
        SELECT * INTO j FROM import_job WHERE import_id = p_import;
    END IF;
    RETURN import_as_json(j);
END $$;
CREATE FUNCTION api_import_rows(p_token bytea, p_import bigint, p_after integer, p_limit integer) RETURNS TABLE (line integer, cells jsonb)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    RETURN QUERY SELECT r.line, r.cells FROM import_row r WHERE r.import_id = (own_import(p_token, p_import)).import_id AND r.line > p_after ORDER BY r.line LIMIT p_limit;
END $$;
CREATE FUNCTION api_import_problems(p_token bytea, p_import bigint, p_after integer, p_limit integer) RETURNS SETOF jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE j import_job := own_import(p_token, p_import);
BEGIN
    -- Whole lines: a page ends where a line does.
    RETURN QUERY SELECT jsonb_build_object('line', p.line, 'field', p.field, 'value', p.value, 'code', p.code, 'allowed', p.allowed) FROM import_problem p
    WHERE p.import_id = j.import_id AND p.line > p_after
        AND p.line IN (SELECT DISTINCT q.line FROM import_problem q WHERE q.import_id = j.import_id AND q.line > p_after ORDER BY q.line LIMIT p_limit)
    ORDER BY p.line, p.field;
END $$;

-- Everything of an organisation, in the columns of an import: vehicles with their owners and trackers, then people without a
-- vehicle, then trackers without one. Leaves a row of audit for each page.
CREATE FUNCTION registry_export(p_who asker, p_kind text, p_after bigint, p_limit integer) RETURNS TABLE (id bigint, cells text[]) LANGUAGE plpgsql STABLE AS $$
DECLARE units bigint[] := ARRAY(SELECT unit_id FROM unit WHERE is_within(p_who, unit_id)); unowned boolean := is_within(p_who, NULL);
BEGIN
    IF p_kind = 'vehicles' THEN
        RETURN QUERY SELECT v.vehicle_id, ARRAY[a.name, a.phone, a.id_number_last4, v.plate, v.kind, v.make, v.model, v.colour, v.frame_number, v.motor_number,
            t.ident, t.profile ->> 'protocol', t.model, t.iccid, t.sim_number, t.batch]
        FROM (SELECT * FROM vehicle v WHERE v.vehicle_id > p_after AND v.plate NOT LIKE 'erased-%' AND CASE WHEN v.unit_id IS NULL THEN unowned ELSE v.unit_id = ANY (units) END
                ORDER BY v.vehicle_id LIMIT p_limit) v
        LEFT JOIN ownership o ON o.vehicle_id = v.vehicle_id AND o.valid_to IS NULL
        LEFT JOIN account a ON a.account_id = o.account_id AND CASE WHEN a.unit_id IS NULL THEN unowned ELSE a.unit_id = ANY (units) END
        LEFT JOIN installation i ON i.vehicle_id = v.vehicle_id AND i.valid_to IS NULL
        LEFT JOIN tracker t ON t.tracker_id = i.tracker_id AND CASE WHEN t.unit_id IS NULL THEN unowned ELSE t.unit_id = ANY (units) END
        ORDER BY v.vehicle_id;
    ELSIF p_kind = 'people' THEN
        RETURN QUERY SELECT a.account_id, ARRAY[a.name, a.phone, a.id_number_last4] || array_fill(NULL::text, ARRAY[13])
        FROM account a WHERE a.account_id > p_after AND a.role IN ('owner', 'family') AND a.phone IS NOT NULL AND a.login NOT LIKE 'erased-%'
            AND CASE WHEN a.unit_id IS NULL THEN unowned ELSE a.unit_id = ANY (units) END
            AND NOT EXISTS (SELECT FROM ownership o WHERE o.account_id = a.account_id AND o.valid_to IS NULL)
        ORDER BY a.account_id LIMIT p_limit;
    ELSE
        RETURN QUERY SELECT t.tracker_id, array_fill(NULL::text, ARRAY[10]) || ARRAY[t.ident, t.profile ->> 'protocol', t.model, t.iccid, t.sim_number, t.batch]
        FROM tracker t WHERE t.tracker_id > p_after AND CASE WHEN t.unit_id IS NULL THEN unowned ELSE t.unit_id = ANY (units) END
            AND NOT EXISTS (SELECT FROM installation i WHERE i.tracker_id = t.tracker_id AND i.valid_to IS NULL)
        ORDER BY t.tracker_id LIMIT p_limit;
    END IF;
END $$;
CREATE FUNCTION api_registry_export(p_token bytea, p_kind text, p_after bigint, p_limit integer, p_reason text) RETURNS TABLE (id bigint, cells text[])
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE who asker := asker_of(p_token, 'operator', 'admin'); returned integer;
BEGIN
    RETURN QUERY SELECT * FROM registry_export(who, p_kind, p_after, p_limit);
    GET DIAGNOSTICS returned = ROW_COUNT;
    PERFORM write_audit(who.account_id, NULL, 'registry_export', jsonb_build_object('reason', p_reason, 'kind', p_kind, 'after', p_after::text), returned);
END $$;
