-- A vehicle changes hands by a code or by its operator; family and share links; what owners may know, take along and end.

-- ── hand-over ───────────────────────────────────────────────────────────────────────────────
CREATE TABLE transfer (
    transfer_id    bigint PRIMARY KEY DEFAULT random_id(),
    vehicle_id     bigint NOT NULL REFERENCES vehicle,
    reason         text NOT NULL CHECK (reason IN ('offer', 'sale', 'death', 'repossession', 'insurer_recovery')),
    document       text NOT NULL DEFAULT '',
    made_by        bigint NOT NULL REFERENCES account,
    made_at        timestamptz NOT NULL DEFAULT now(),
    takes_place_at timestamptz,             -- not before; NULL: when it is accepted
    code_sha256    bytea UNIQUE,
    code_ends_at   timestamptz,
    to_account     bigint REFERENCES account,
    accepted_at    timestamptz,
    done_at        timestamptz,
    cancelled_at   timestamptz
);
CREATE UNIQUE INDEX transfer_open ON transfer (vehicle_id) WHERE done_at IS NULL AND cancelled_at IS NULL;
CREATE INDEX transfer_buyer ON transfer (to_account) WHERE done_at IS NULL AND cancelled_at IS NULL;
CREATE INDEX transfer_due ON transfer (takes_place_at) WHERE accepted_at IS NOT NULL AND done_at IS NULL AND cancelled_at IS NULL;

CREATE FUNCTION transfer_as_json(t transfer) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object('id', t.transfer_id::text, 'vehicle_id', t.vehicle_id::text, 'takes_place_at', t.takes_place_at,
        'code_ends_at', t.code_ends_at, 'accepted_at', t.accepted_at, 'done_at', t.done_at)
$$;

-- Gives the vehicle to whom it was promised. Where that cannot be any more, the promise ends.
CREATE FUNCTION carry_out_transfer(p_transfer bigint) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    t  transfer;
    at timestamptz;
BEGIN
    PERFORM pg_advisory_xact_lock(7241001);
    SELECT * INTO t FROM transfer WHERE transfer_id = p_transfer AND accepted_at IS NOT NULL AND done_at IS NULL AND cancelled_at IS NULL FOR UPDATE;
    IF NOT FOUND THEN RETURN false; END IF;
    IF NOT EXISTS (SELECT FROM account WHERE account_id = t.to_account AND role = 'owner' AND NOT disabled)
        OR NOT EXISTS (SELECT FROM ownership WHERE vehicle_id = t.vehicle_id AND valid_to IS NULL AND account_id <> t.to_account) THEN
        UPDATE transfer SET cancelled_at = now() WHERE transfer_id = p_transfer;
        RETURN false;
    END IF;
    -- First: what ends with the ownership ends every other promise.
    UPDATE transfer SET done_at = now() WHERE transfer_id = p_transfer;
    -- It begins when it was agreed, however late this runs; never before it was accepted. A future one is not done here.
    at := least(greatest(t.takes_place_at, t.accepted_at), clock_timestamp());
    UPDATE ownership SET valid_to = greatest(at, valid_from + interval '1 microsecond') WHERE vehicle_id = t.vehicle_id AND valid_to IS NULL RETURNING valid_to INTO at;
    INSERT INTO ownership (vehicle_id, account_id, valid_from) VALUES (t.vehicle_id, t.to_account, at);
    PERFORM write_audit(t.made_by, NULL, 'hand_over', jsonb_build_object('vehicle', t.vehicle_id, 'transfer', t.transfer_id::text,
        'to', t.to_account::text, 'reason', t.reason, 'document', t.document, 'at', at), NULL);
    RETURN true;
END $$;

-- Those whose time has come; the rollup's process does it.
CREATE FUNCTION carry_out_transfers(p_limit integer) RETURNS integer LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT count(*) FILTER (WHERE carry_out_transfer(d.transfer_id))::integer FROM (
        SELECT transfer_id FROM transfer WHERE accepted_at IS NOT NULL AND done_at IS NULL AND cancelled_at IS NULL
            AND coalesce(takes_place_at, now()) <= now() ORDER BY takes_place_at LIMIT p_limit) d
$$;
GRANT EXECUTE ON FUNCTION carry_out_transfers(integer) TO rideguard_rollup_rights;

CREATE FUNCTION must_own(p_who asker, p_vehicle bigint) RETURNS void LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF NOT owns(p_who.account_id, p_vehicle) THEN RAISE EXCEPTION 'no vehicle % of yours', p_vehicle USING ERRCODE = 'P0404'; END IF;
END $$;

CREATE FUNCTION api_offer_hand_over(p_token bytea, p_vehicle bigint, p_code bytea, p_at timestamptz) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    who asker := asker_of(p_token, 'owner');
    t   transfer;
BEGIN
    PERFORM pg_advisory_xact_lock(7241001);
    PERFORM must_own(who, p_vehicle);
    UPDATE transfer SET cancelled_at = now() WHERE vehicle_id = p_vehicle AND done_at IS NULL AND cancelled_at IS NULL
        AND accepted_at IS NULL AND code_ends_at <= now();
    IF EXISTS (SELECT FROM transfer WHERE vehicle_id = p_vehicle AND done_at IS NULL AND cancelled_at IS NULL) THEN
        PERFORM refuse('P0409', 'hand_over_open', 'a hand-over of this vehicle is open; cancel it first');
    END IF;
    INSERT INTO transfer (vehicle_id, reason, made_by, takes_place_at, code_sha256, code_ends_at)
    VALUES (p_vehicle, 'offer', who.account_id, p_at, p_code, now() + interval '72 hours') RETURNING * INTO t;
    PERFORM write_audit(who.account_id, NULL, 'hand_over_offered', jsonb_build_object('vehicle', p_vehicle, 'transfer', t.transfer_id::text, 'at', p_at), NULL);
    RETURN transfer_as_json(t);
END $$;

CREATE FUNCTION api_hand_over_of(p_token bytea, p_vehicle bigint) RETURNS SETOF jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE who asker := asker_of(p_token, 'owner');
BEGIN
    PERFORM must_own(who, p_vehicle);
    RETURN QUERY SELECT transfer_as_json(t) FROM transfer t WHERE vehicle_id = p_vehicle AND done_at IS NULL AND cancelled_at IS NULL
        AND (accepted_at IS NOT NULL OR code_ends_at > now());
END $$;

CREATE FUNCTION api_cancel_hand_over(p_token bytea, p_vehicle bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    who asker := asker_of(p_token, 'owner');
    id  bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(7241001);
    PERFORM must_own(who, p_vehicle);
    UPDATE transfer SET cancelled_at = now() WHERE vehicle_id = p_vehicle AND done_at IS NULL AND cancelled_at IS NULL RETURNING transfer_id INTO id;
    IF id IS NULL THEN RETURN false; END IF;
    PERFORM write_audit(who.account_id, NULL, 'hand_over_cancelled', jsonb_build_object('vehicle', p_vehicle, 'transfer', id::text), NULL);
    RETURN true;
END $$;

-- What has not taken place: of what I own, and of what will be mine.
CREATE FUNCTION api_my_hand_overs(p_token bytea) RETURNS SETOF jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE who asker := asker_of(p_token, 'owner');
BEGIN
    RETURN QUERY SELECT jsonb_build_object('plate', v.plate, 'side', CASE WHEN t.to_account = who.account_id THEN 'buyer' ELSE 'seller' END,
        'hand_over', transfer_as_json(t))
    FROM transfer t JOIN vehicle v USING (vehicle_id)
    WHERE t.done_at IS NULL AND t.cancelled_at IS NULL AND (t.accepted_at IS NOT NULL OR t.code_ends_at > now())
        AND (t.to_account = who.account_id OR owns(who.account_id, t.vehicle_id))
    ORDER BY t.takes_place_at NULLS FIRST, t.made_at LIMIT 100;
END $$;

CREATE FUNCTION api_decline_hand_over(p_token bytea, p_transfer bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    who asker := asker_of(p_token, 'owner');
    t   transfer;
BEGIN
    PERFORM pg_advisory_xact_lock(7241001);
    UPDATE transfer n SET cancelled_at = now() WHERE n.transfer_id = p_transfer AND n.done_at IS NULL AND n.cancelled_at IS NULL
        AND (n.to_account = who.account_id OR owns(who.account_id, n.vehicle_id)) RETURNING * INTO t;
    IF NOT FOUND THEN RETURN false; END IF;
    PERFORM write_audit(who.account_id, NULL, CASE WHEN t.to_account = who.account_id THEN 'hand_over_declined' ELSE 'hand_over_cancelled' END,
        jsonb_build_object('vehicle', t.vehicle_id, 'transfer', p_transfer::text), NULL);
    RETURN true;
END $$;

CREATE FUNCTION api_accept_hand_over(p_token bytea, p_code bytea) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    who asker := asker_of(p_token, 'owner');
    t   transfer;
BEGIN
    PERFORM pg_advisory_xact_lock(7241001);
    SELECT * INTO t FROM transfer WHERE code_sha256 = p_code AND accepted_at IS NULL AND done_at IS NULL AND cancelled_at IS NULL
        AND code_ends_at > now() FOR UPDATE;
    IF NOT FOUND THEN PERFORM refuse('P0404', 'unknown_code', 'no invitation has this code, or it is over'); END IF;
    IF owns(who.account_id, t.vehicle_id) THEN PERFORM refuse('P0409', 'own_vehicle', 'the vehicle is yours already'); END IF;
    UPDATE transfer SET to_account = who.account_id, accepted_at = now() WHERE transfer_id = t.transfer_id;
    PERFORM write_audit(who.account_id, NULL, 'hand_over_accepted', jsonb_build_object('vehicle', t.vehicle_id, 'transfer', t.transfer_id::text), NULL);
    IF coalesce(t.takes_place_at, now()) <= now() THEN PERFORM carry_out_transfer(t.transfer_id); END IF;
    RETURN (SELECT transfer_as_json(n) || jsonb_build_object('plate', v.plate) FROM transfer n JOIN vehicle v USING (vehicle_id) WHERE n.transfer_id = t.transfer_id);
END $$;

-- The operator's: at once, with a reason and the number of a document.
CREATE FUNCTION api_hand_over(p_token bytea, p_vehicle bigint, p_reason text, p_document text, p_phone text, p_login text) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    who   asker := asker_of(p_token, 'operator', 'admin');
    buyer bigint;
    t     transfer;
BEGIN
    PERFORM pg_advisory_xact_lock(7241001);
    IF NOT EXISTS (SELECT FROM vehicle v WHERE v.vehicle_id = p_vehicle AND is_within(who, v.unit_id)) THEN
        RAISE EXCEPTION 'no vehicle %', p_vehicle USING ERRCODE = 'P0404';
    END IF;
    SELECT account_id INTO buyer FROM account p WHERE (p.phone = p_phone OR p.login = p_login) AND p.role = 'owner' AND NOT p.disabled AND is_within(who, p.unit_id);
    IF buyer IS NULL THEN PERFORM refuse('P0404', 'no_such_person', 'no owner has this phone number or login'); END IF;
    IF owns(buyer, p_vehicle) THEN PERFORM refuse('P0409', 'own_vehicle', 'the vehicle is theirs already'); END IF;
    UPDATE transfer SET cancelled_at = now() WHERE vehicle_id = p_vehicle AND done_at IS NULL AND cancelled_at IS NULL;
    INSERT INTO transfer (vehicle_id, reason, document, made_by, to_account, accepted_at)
    VALUES (p_vehicle, p_reason, p_document, who.account_id, buyer, now()) RETURNING * INTO t;
    IF NOT carry_out_transfer(t.transfer_id) THEN
        PERFORM refuse('P0409', 'no_owner', 'the vehicle has no owner; enter its first one in the registry');
    END IF;
    RETURN (SELECT transfer_as_json(n) FROM transfer n WHERE n.transfer_id = t.transfer_id);
END $$;

-- ── family ──────────────────────────────────────────────────────────────────────────────────
CREATE TABLE family_member (
    family_member_id bigint PRIMARY KEY DEFAULT random_id(),
    vehicle_id    bigint NOT NULL REFERENCES vehicle,
    invited_by    bigint NOT NULL REFERENCES account,
    account_id    bigint REFERENCES account,        -- NULL until the code is used
    name          text NOT NULL,                    -- what the owner calls them
    may           text NOT NULL CHECK (may IN ('see', 'arm', 'answer')),   -- each may what the one before may
    code_sha256   bytea NOT NULL UNIQUE,
    invited_at    timestamptz NOT NULL DEFAULT now(),
    code_ends_at  timestamptz NOT NULL,
    accepted_at   timestamptz,
    ends_at       timestamptz,
    ended_at      timestamptz
);
CREATE INDEX family_member_vehicle ON family_member (vehicle_id) WHERE ended_at IS NULL;
CREATE INDEX family_member_account ON family_member (account_id) WHERE ended_at IS NULL;

-- Who may see a vehicle now, and since when which part: owners what is theirs; family the vehicle as it is now, and what
-- happened since they accepted.
CREATE VIEW vehicle_right AS
    SELECT account_id, vehicle_id, 'own'::text AS may, valid_from AS owned_since, valid_from AS since, 3 AS rank FROM ownership WHERE valid_to IS NULL
    UNION ALL
    SELECT f.account_id, f.vehicle_id, f.may, w.valid_from, f.accepted_at, CASE f.may WHEN 'see' THEN 0 WHEN 'arm' THEN 1 ELSE 2 END
    FROM family_member f JOIN ownership w ON w.vehicle_id = f.vehicle_id AND w.valid_to IS NULL AND w.account_id = f.invited_by
    WHERE f.accepted_at IS NOT NULL AND f.ended_at IS NULL AND (f.ends_at IS NULL OR f.ends_at > now());

CREATE FUNCTION family_member_as_json(f family_member) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object('id', f.family_member_id::text, 'vehicle_id', f.vehicle_id::text, 'name', f.name, 'may', f.may,
        'code_ends_at', CASE WHEN f.accepted_at IS NULL THEN f.code_ends_at END, 'accepted_at', f.accepted_at, 'ends_at', f.ends_at)
$$;

CREATE FUNCTION api_invite_family(p_token bytea, p_vehicle bigint, p_code bytea, p_name text, p_may text, p_ends timestamptz) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    who asker := asker_of(p_token, 'owner');
    f   family_member;
BEGIN
    PERFORM pg_advisory_xact_lock(7241001);
    PERFORM must_own(who, p_vehicle);
    IF (SELECT count(*) FROM family_member WHERE vehicle_id = p_vehicle AND ended_at IS NULL AND (ends_at IS NULL OR ends_at > now())
            AND (accepted_at IS NOT NULL OR code_ends_at > now())) >= 10 THEN
        PERFORM refuse('P0409', 'family_full', 'a vehicle has at most 10 members of the family; end one first', '{"max": 10}');
    END IF;
    INSERT INTO family_member (vehicle_id, invited_by, name, may, code_sha256, code_ends_at, ends_at)
    VALUES (p_vehicle, who.account_id, p_name, p_may, p_code, now() + interval '72 hours', p_ends) RETURNING * INTO f;
    PERFORM write_audit(who.account_id, NULL, 'family_invited', jsonb_build_object('vehicle', p_vehicle, 'member', f.family_member_id::text, 'may', p_may, 'ends', p_ends), NULL);
    RETURN family_member_as_json(f);
END $$;

CREATE FUNCTION api_family(p_token bytea, p_vehicle bigint) RETURNS SETOF jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE who asker := asker_of(p_token, 'owner');
BEGIN
    PERFORM must_own(who, p_vehicle);
    RETURN QUERY SELECT family_member_as_json(f) FROM family_member f WHERE f.vehicle_id = p_vehicle AND f.ended_at IS NULL
        AND (f.ends_at IS NULL OR f.ends_at > now()) AND (f.accepted_at IS NOT NULL OR f.code_ends_at > now()) ORDER BY f.invited_at LIMIT 10;
END $$;

CREATE FUNCTION api_accept_family(p_token bytea, p_code bytea) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    who asker := asker_of(p_token, 'owner', 'family');
    f   family_member;
BEGIN
    PERFORM pg_advisory_xact_lock(7241001);
    SELECT * INTO f FROM family_member WHERE code_sha256 = p_code AND accepted_at IS NULL AND ended_at IS NULL AND code_ends_at > now()
        AND (ends_at IS NULL OR ends_at > now()) FOR UPDATE;
    IF NOT FOUND THEN PERFORM refuse('P0404', 'unknown_code', 'no invitation has this code, or it is over'); END IF;
    IF owns(who.account_id, f.vehicle_id) THEN PERFORM refuse('P0409', 'own_vehicle', 'the vehicle is yours already'); END IF;
    -- The newest invitation counts.
    UPDATE family_member SET ended_at = now() WHERE vehicle_id = f.vehicle_id AND account_id = who.account_id AND ended_at IS NULL;
    UPDATE family_member SET account_id = who.account_id, accepted_at = now() WHERE family_member_id = f.family_member_id RETURNING * INTO f;
    PERFORM write_audit(who.account_id, NULL, 'family_accepted', jsonb_build_object('vehicle', f.vehicle_id, 'member', f.family_member_id::text), NULL);
    RETURN family_member_as_json(f);
END $$;

-- The owner's, or the member's own.
CREATE FUNCTION api_end_family(p_token bytea, p_member bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    who asker := asker_of(p_token, 'owner', 'family');
    f   family_member;
BEGIN
    PERFORM pg_advisory_xact_lock(7241001);
    UPDATE family_member SET ended_at = now() WHERE family_member_id = p_member AND ended_at IS NULL
        AND (account_id = who.account_id OR owns(who.account_id, vehicle_id)) RETURNING * INTO f;
    IF NOT FOUND THEN RETURN false; END IF;
    PERFORM write_audit(who.account_id, NULL, 'family_ended', jsonb_build_object('vehicle', f.vehicle_id, 'member', p_member::text), NULL);
    RETURN true;
END $$;

-- ── share links ─────────────────────────────────────────────────────────────────────────────
CREATE TABLE share_link (
    share_link_id bigint PRIMARY KEY DEFAULT random_id(),
    vehicle_id    bigint NOT NULL REFERENCES vehicle,
    account_id    bigint NOT NULL REFERENCES account,
    incident_id   bigint NOT NULL,                  -- no reference: a rebuild makes incidents again
    token_sha256  bytea NOT NULL UNIQUE,
    made_at       timestamptz NOT NULL DEFAULT now(),
    expires_at    timestamptz NOT NULL,
    openings_max  integer NOT NULL CHECK (openings_max BETWEEN 1 AND 1000),
    revoked_at    timestamptz
);
CREATE INDEX share_link_vehicle ON share_link (vehicle_id);
CREATE INDEX share_link_incident ON share_link (incident_id);
CREATE TABLE share_opening (
    share_link_id bigint NOT NULL REFERENCES share_link ON DELETE CASCADE,
    visit_sha256  bytea NOT NULL,
    opened_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (share_link_id, visit_sha256)
);

CREATE FUNCTION share_as_json(s share_link) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object('id', s.share_link_id::text, 'vehicle_id', s.vehicle_id::text, 'made_at', s.made_at, 'expires_at', s.expires_at,
        'openings_max', s.openings_max, 'revoked_at', s.revoked_at,
        'live', s.revoked_at IS NULL AND s.expires_at > now() AND EXISTS (SELECT FROM incident i WHERE i.incident_id = s.incident_id AND i.closed_at IS NULL),
        'openings', coalesce((SELECT jsonb_agg(o.opened_at ORDER BY o.opened_at) FROM share_opening o WHERE o.share_link_id = s.share_link_id), '[]'))
$$;

CREATE FUNCTION api_make_share(p_token bytea, p_vehicle bigint, p_share bytea, p_seconds double precision, p_openings integer) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    who  asker := asker_of(p_token, 'owner');
    open bigint;
    s    share_link;
BEGIN
    PERFORM pg_advisory_xact_lock(7241001);
    PERFORM must_own(who, p_vehicle);
    SELECT i.incident_id INTO open FROM incident i JOIN ownership w USING (vehicle_id)
        WHERE i.vehicle_id = p_vehicle AND i.closed_at IS NULL AND w.valid_to IS NULL AND i.opened_at >= w.valid_from;
    IF open IS NULL THEN PERFORM refuse('P0409', 'no_incident', 'a place is shared while an incident is open'); END IF;
    IF (SELECT count(*) FROM share_link WHERE incident_id = open AND revoked_at IS NULL AND expires_at > now()) >= 5 THEN
        PERFORM refuse('P0409', 'shares_full', 'an incident has at most 5 links; revoke one first', '{"max": 5}');
    END IF;
    INSERT INTO share_link (vehicle_id, account_id, incident_id, token_sha256, expires_at, openings_max)
    VALUES (p_vehicle, who.account_id, open, p_share, now() + make_interval(secs => least(p_seconds, 86400)), p_openings) RETURNING * INTO s;
    PERFORM write_audit(who.account_id, NULL, 'share', jsonb_build_object('vehicle', p_vehicle, 'share', s.share_link_id::text, 'incident', open::text,
        'seconds', p_seconds, 'openings', p_openings), NULL);
    RETURN share_as_json(s);
END $$;

-- Those of the newest incident first; older ones tell who opened them.
CREATE FUNCTION api_shares(p_token bytea, p_vehicle bigint) RETURNS SETOF jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE who asker := asker_of(p_token, 'owner');
BEGIN
    PERFORM must_own(who, p_vehicle);
    RETURN QUERY SELECT share_as_json(s) FROM share_link s WHERE s.vehicle_id = p_vehicle AND s.account_id = who.account_id
        ORDER BY s.made_at DESC, s.share_link_id LIMIT 20;
END $$;

CREATE FUNCTION api_revoke_share(p_token bytea, p_share bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    who asker := asker_of(p_token, 'owner');
    s   share_link;
BEGIN
    UPDATE share_link SET revoked_at = coalesce(revoked_at, now()) WHERE share_link_id = p_share AND account_id = who.account_id RETURNING * INTO s;
    IF NOT FOUND THEN RETURN false; END IF;
    PERFORM write_audit(who.account_id, NULL, 'share_revoked', jsonb_build_object('vehicle', s.vehicle_id, 'share', p_share::text), NULL);
    RETURN true;
END $$;

-- Whoever has the link: where the vehicle is, and nothing else of it. A visit counts once; NULL: there is no such link (any more).
CREATE FUNCTION api_open_share(p_share bytea, p_visit bytea, p_is_new boolean) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    s share_link;
    i incident;
BEGIN
    SELECT l.* INTO s FROM share_link l WHERE l.token_sha256 = p_share AND l.revoked_at IS NULL AND l.expires_at > now() FOR UPDATE;
    IF NOT FOUND THEN RETURN NULL; END IF;
    SELECT c.* INTO i FROM incident c WHERE c.incident_id = s.incident_id AND c.closed_at IS NULL;
    IF NOT FOUND OR NOT owns(s.account_id, s.vehicle_id) OR is_off(s.vehicle_id) THEN RETURN NULL; END IF;
    IF NOT EXISTS (SELECT FROM share_opening o WHERE o.share_link_id = s.share_link_id AND o.visit_sha256 = p_visit) THEN
        IF NOT p_is_new OR (SELECT count(*) FROM share_opening o WHERE o.share_link_id = s.share_link_id) >= s.openings_max THEN RETURN NULL; END IF;
        INSERT INTO share_opening (share_link_id, visit_sha256) VALUES (s.share_link_id, p_visit);
    END IF;
    RETURN (SELECT jsonb_build_object('expires_at', s.expires_at, 'place', (
        SELECT jsonb_build_object('lat', ST_Y(t.position), 'lon', ST_X(t.position), 'fixed_at', t.fixed_at, 'speed_kmh', t.speed_kmh)
        FROM installation n JOIN tracker_status t USING (tracker_id)
        WHERE n.vehicle_id = s.vehicle_id AND n.valid_to IS NULL AND t.vehicle_id = s.vehicle_id AND t.position IS NOT NULL AND t.fixed_at >= i.fixes_from)));
END $$;

-- ── what ends with an ownership, and with a person ──────────────────────────────────────────
CREATE FUNCTION belongings_end() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE transfer SET cancelled_at = now() WHERE vehicle_id = OLD.vehicle_id AND done_at IS NULL AND cancelled_at IS NULL;
    UPDATE family_member SET ended_at = now() WHERE vehicle_id = OLD.vehicle_id AND ended_at IS NULL;
    UPDATE share_link SET revoked_at = now() WHERE vehicle_id = OLD.vehicle_id AND revoked_at IS NULL;
    RETURN NULL;
END $$;
CREATE TRIGGER belongings_end AFTER UPDATE OF valid_to ON ownership FOR EACH ROW
    WHEN (OLD.valid_to IS NULL AND NEW.valid_to IS NOT NULL) EXECUTE FUNCTION belongings_end();

-- An erased account keeps its row; what is here of the person goes. A promise to somebody erased cannot be kept.
CREATE FUNCTION belongings_erased() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM share_link WHERE account_id = NEW.account_id;
    DELETE FROM family_member WHERE account_id = NEW.account_id OR invited_by = NEW.account_id;
    UPDATE transfer SET document = '', code_sha256 = NULL, cancelled_at = CASE WHEN done_at IS NULL THEN coalesce(cancelled_at, now()) END
        WHERE made_by = NEW.account_id OR to_account = NEW.account_id;
    -- What a tracker still has in its memory of their time is not kept when it comes (`erased_window` is there by now).
    PERFORM add_setting(lane_of(t.ident), jsonb_build_object('kind', 'erased', 'tracker', w.tracker_id,
            'from', (extract(epoch FROM greatest(w.from_at, 'epoch')) * 1000000)::bigint, 'to', (extract(epoch FROM least(w.to_at, now())) * 1000000)::bigint))
        FROM erasure e JOIN erased_window w USING (erasure_id) JOIN tracker t USING (tracker_id)
        WHERE e.account_id = NEW.account_id AND w.from_at < now();
    DELETE FROM positioning_off WHERE by_account = NEW.account_id AND on_at IS NOT NULL;
    UPDATE positioning_off SET by_account = NULL WHERE by_account = NEW.account_id;
    UPDATE account SET phone = NULL WHERE account_id = NEW.account_id AND phone IS NOT NULL;
    RETURN NULL;
END $$;
CREATE TRIGGER belongings_erased AFTER UPDATE OF login ON account FOR EACH ROW
    WHEN (NEW.login = 'erased-' || NEW.account_id AND OLD.login <> NEW.login) EXECUTE FUNCTION belongings_erased();

-- What is over is kept for 90 days, for questions, and goes then.
CREATE FUNCTION purge_belongings() RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH shares AS (DELETE FROM share_link WHERE least(expires_at, revoked_at) < now() - interval '90 days' RETURNING 1),
    members AS (DELETE FROM family_member WHERE least(ended_at, ends_at, CASE WHEN accepted_at IS NULL THEN code_ends_at END) < now() - interval '90 days' RETURNING 1),
    offers AS (DELETE FROM transfer WHERE done_at IS NULL AND least(cancelled_at, CASE WHEN accepted_at IS NULL THEN code_ends_at END) < now() - interval '90 days' RETURNING 1)
    SELECT (SELECT count(*) FROM shares) + (SELECT count(*) FROM members) + (SELECT count(*) FROM offers)
$$;
GRANT EXECUTE ON FUNCTION purge_belongings() TO rideguard_rollup_rights;

-- ── who looked ──────────────────────────────────────────────────────────────────────────────
-- How many days after a look under it the owner is told. The law may forbid to tell sooner (Criminal Procedure Law of the
-- People's Republic of China, articles 150 to 154); who approves the grant decides.
ALTER TABLE access_grant ADD COLUMN tell_owner_after_days integer NOT NULL DEFAULT 30
    CONSTRAINT access_grant_tell_owner_check CHECK (tell_owner_after_days BETWEEN 0 AND 3650);
-- When the vehicle was found first; NULL: before this was noted.
ALTER TABLE grant_vehicle ADD COLUMN found_at timestamptz;
ALTER TABLE grant_vehicle ALTER COLUMN found_at SET DEFAULT now();
CREATE INDEX grant_vehicle_vehicle ON grant_vehicle (vehicle_id);
CREATE INDEX audit_vehicle ON audit ((question ->> 'vehicle')) WHERE grant_id IS NOT NULL AND question ? 'vehicle';
CREATE INDEX audit_newest ON audit USING gin ((question -> 'vehicles')) WHERE action = 'newest';

-- Looks at what somebody owns or owned, in the time in which it was theirs, as far as they may be told by now.
CREATE FUNCTION looks_at(p_account bigint, p_before timestamptz, p_limit integer) RETURNS SETOF jsonb LANGUAGE sql STABLE AS $$
    WITH mine AS (SELECT vehicle_id, valid_from, coalesce(valid_to, 'infinity') AS valid_to FROM ownership WHERE account_id = p_account),
    look AS (
        SELECT a.at, a.action AS what, a.grant_id, m.vehicle_id FROM mine m JOIN audit a
            ON a.question ->> 'vehicle' = m.vehicle_id::text AND a.question ? 'vehicle' AND a.grant_id IS NOT NULL AND a.action IN ('track', 'company', 'hold')
        WHERE coalesce((a.question ->> 'from')::timestamptz, a.at) < m.valid_to AND coalesce((a.question ->> 'to')::timestamptz, a.at) > m.valid_from
        UNION
        SELECT a.at, 'newest', a.grant_id, m.vehicle_id FROM mine m JOIN audit a
            ON a.action = 'newest' AND a.question -> 'vehicles' @> to_jsonb(ARRAY[m.vehicle_id]) AND a.at >= m.valid_from AND a.at < m.valid_to
        UNION
        SELECT f.found_at, 'found', f.grant_id, m.vehicle_id FROM mine m JOIN grant_vehicle f USING (vehicle_id)
        WHERE f.found_at >= m.valid_from AND f.found_at < m.valid_to)
    SELECT jsonb_build_object('at', l.at, 'what', l.what, 'vehicle_id', l.vehicle_id::text, 'plate', v.plate, 'organisation', o.name,
        'case_number', g.case_number, 'purpose', g.purpose)
    FROM look l JOIN access_grant g USING (grant_id) JOIN account p ON p.account_id = g.account_id JOIN vehicle v ON v.vehicle_id = l.vehicle_id
    LEFT JOIN unit u ON u.unit_id = p.unit_id LEFT JOIN organisation o USING (organisation_id)
    WHERE l.at + make_interval(days => g.tell_owner_after_days) <= now() AND (p_before IS NULL OR l.at < p_before)
    ORDER BY l.at DESC, l.vehicle_id, l.what LIMIT p_limit
$$;

CREATE FUNCTION api_my_looks(p_token bytea, p_before timestamptz, p_limit integer) RETURNS SETOF jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE who asker := asker_of(p_token, 'owner');
BEGIN
    RETURN QUERY SELECT * FROM looks_at(who.account_id, p_before, p_limit);
END $$;

-- ── my data ─────────────────────────────────────────────────────────────────────────────────
-- Everything but the tracks, after its row of audit.
CREATE FUNCTION api_begin_export(p_token bytea) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE who asker := asker_of(p_token, 'owner', 'family');
BEGIN
    PERFORM write_audit(who.account_id, NULL, 'export', '{}', NULL);
    RETURN (SELECT jsonb_build_object(
        'account', (SELECT jsonb_build_object('login', p.login, 'name', p.name, 'role', p.role, 'phone', p.phone, 'created_at', p.created_at, 'webhook_url', p.webhook_url)
            FROM account p WHERE p.account_id = who.account_id),
        'vehicles', coalesce((SELECT jsonb_agg(jsonb_build_object('vehicle_id', w.vehicle_id::text, 'kind', v.kind, 'from', w.valid_from, 'to', w.valid_to)
                || CASE WHEN w.valid_to IS NULL THEN jsonb_build_object('plate', v.plate, 'model', v.model, 'frame_number', v.frame_number) ELSE '{}' END
                ORDER BY w.valid_from, w.vehicle_id) FROM ownership w JOIN vehicle v USING (vehicle_id) WHERE w.account_id = who.account_id), '[]'),
        'incidents', coalesce((SELECT jsonb_agg(incident_as_json(i) - 'plate' ORDER BY i.opened_at) FROM ownership w JOIN incident i
            ON i.vehicle_id = w.vehicle_id AND i.opened_at >= w.valid_from AND i.opened_at < coalesce(w.valid_to, 'infinity') WHERE w.account_id = who.account_id), '[]'),
        'alerts', coalesce((SELECT jsonb_agg(a.line ORDER BY a.alert_id) FROM (
            SELECT n.alert_id, alert_as_json(n.alert_id) - 'plate' AS line FROM ownership w JOIN alert n
            ON n.vehicle_id = w.vehicle_id AND n.raised_at >= w.valid_from AND n.raised_at < coalesce(w.valid_to, 'infinity')
            WHERE w.account_id = who.account_id ORDER BY n.alert_id DESC LIMIT 50000) a), '[]'),
        'zones', coalesce((SELECT jsonb_agg(zone_as_json(z) ORDER BY z.created_at) FROM zone z WHERE z.account_id = who.account_id), '[]'),
        'guarding', coalesce((SELECT jsonb_agg(jsonb_build_object('vehicle_id', g.vehicle_id::text, 'schedule', g.schedule, 'auto_after_s', g.auto_after_s))
            FROM guarding g JOIN ownership w USING (vehicle_id) WHERE w.account_id = who.account_id AND w.valid_to IS NULL), '[]'),
        'family', coalesce((SELECT jsonb_agg(family_member_as_json(f) ORDER BY f.invited_at) FROM family_member f
            WHERE f.invited_by = who.account_id OR f.account_id = who.account_id), '[]'),
        'shares', coalesce((SELECT jsonb_agg(share_as_json(s) ORDER BY s.made_at) FROM share_link s WHERE s.account_id = who.account_id), '[]'),
        'hand_overs', coalesce((SELECT jsonb_agg(transfer_as_json(t) || jsonb_build_object('reason', t.reason) ORDER BY t.made_at) FROM transfer t
            WHERE t.to_account = who.account_id OR t.made_by = who.account_id), '[]'),
        'fittings', door_visits_of_owner(who.account_id),
        'consents', coalesce((SELECT jsonb_agg(jsonb_build_object('version', c.version, 'given_at', c.given_at, 'channel', c.channel, 'withdrawn_at', c.withdrawn_at) ORDER BY c.given_at)
            FROM consent c WHERE c.account_id = who.account_id), '[]'),
        'positioning_off', coalesce((SELECT jsonb_agg(jsonb_build_object('vehicle_id', p.vehicle_id::text, 'from', p.off_at, 'to', p.on_at, 'reason', p.reason) ORDER BY p.off_at)
            FROM positioning_off p WHERE p.by_account = who.account_id), '[]'),
        'looks', coalesce((SELECT jsonb_agg(l) FROM looks_at(who.account_id, NULL, 10000) l), '[]'),
        'done_by_me', coalesce((SELECT jsonb_agg(d.line ORDER BY d.audit_id) FROM (
            SELECT a.audit_id, jsonb_build_object('at', a.at, 'action', a.action) AS line FROM audit a
            WHERE a.account_id = who.account_id AND a.action = 'log_in' ORDER BY a.audit_id DESC LIMIT 1000) d), '[]')));
END $$;

-- The track of a vehicle in the times in which it is or was one's own.
CREATE FUNCTION api_export_pieces(p_token bytea, p_vehicle bigint, p_from timestamptz, p_to timestamptz) RETURNS SETOF found
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    who asker := asker_of(p_token, 'owner');
    w   ownership;
BEGIN
    FOR w IN SELECT * FROM ownership o WHERE o.account_id = who.account_id AND o.vehicle_id = p_vehicle
            AND o.valid_from < p_to AND coalesce(o.valid_to, 'infinity') > p_from ORDER BY o.valid_from LOOP
        RETURN QUERY SELECT * FROM pieces_of(p_vehicle, greatest(p_from, w.valid_from), least(p_to, coalesce(w.valid_to, 'infinity')));
    END LOOP;
END $$;

-- ── delete my account ───────────────────────────────────────────────────────────────────────
CREATE TABLE erasure_request (
    receipt_sha256 bytea PRIMARY KEY,
    account_id     bigint NOT NULL UNIQUE REFERENCES account,
    asked_at       timestamptz NOT NULL DEFAULT now(),
    erasure_id     bigint REFERENCES erasure
);

-- For whoever shows the password again. Nobody is let in any more; the rollup's process erases.
CREATE FUNCTION api_ask_erasure(p_token bytea, p_hash text, p_receipt bytea) RETURNS timestamptz
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE who asker := asker_of(p_token, 'owner', 'family');
BEGIN
    PERFORM account_with(who, p_hash);
    INSERT INTO erasure_request (receipt_sha256, account_id) VALUES (p_receipt, who.account_id);
    PERFORM write_audit(who.account_id, NULL, 'erase_asked', '{}', NULL);
    UPDATE account SET disabled = true WHERE account_id = who.account_id;
    DELETE FROM session WHERE account_id = who.account_id;
    RETURN now();
END $$;

-- What became of it, for whoever has the receipt.
CREATE FUNCTION api_erasure(p_receipt bytea) RETURNS SETOF jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT jsonb_build_object('asked_at', r.asked_at, 'done', e.report IS NOT NULL, 'report', e.report)
    FROM erasure_request r LEFT JOIN erasure e USING (erasure_id) WHERE r.receipt_sha256 = p_receipt
$$;

-- The next erasure that was asked for and has no proof yet; its account is closed. NULL: there is none.
CREATE FUNCTION next_asked_erasure() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE r erasure_request;
BEGIN
    SELECT q.* INTO r FROM erasure_request q LEFT JOIN erasure e USING (erasure_id) WHERE e.report IS NULL ORDER BY q.asked_at LIMIT 1 FOR UPDATE OF q;
    IF NOT FOUND THEN RETURN NULL; END IF;
    IF r.erasure_id IS NULL THEN
        r.erasure_id := close_account(r.account_id, r.account_id, 'asked for by the person');
        UPDATE erasure_request SET erasure_id = r.erasure_id WHERE account_id = r.account_id;
    END IF;
    RETURN r.erasure_id;
END $$;
GRANT EXECUTE ON FUNCTION next_asked_erasure() TO rideguard_rollup_rights;
GRANT UPDATE (report) ON erasure TO rideguard_rollup_rights;

-- ── positioning off by choice ───────────────────────────────────────────────────────────────
CREATE FUNCTION is_off(p_vehicle bigint) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM positioning_off WHERE vehicle_id = p_vehicle AND on_at IS NULL)
$$;

CREATE OR REPLACE FUNCTION vehicle_as_json(p_vehicle bigint) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (
        SELECT jsonb_build_object('id', v.vehicle_id::text, 'plate', v.plate, 'kind', v.kind, 'model', v.model, 'tracker', t.ident,
            'armed', coalesce(g.armed, false), 'armed_at', CASE WHEN g.armed THEN g.since END,
            'protection', CASE WHEN g.armed IS NOT TRUE THEN 'off' WHEN c.contact IN ('online', 'late') THEN 'protected' ELSE 'no_contact' END,
            'guard_point', CASE WHEN g.armed AND g.guard_lat IS NOT NULL THEN jsonb_build_object('lat', g.guard_lat, 'lon', g.guard_lon) END,
            'last_fix', CASE WHEN s.position IS NOT NULL THEN jsonb_build_object('fixed_at', s.fixed_at, 'received_at', s.received_at,
                'lat', ST_Y(s.position), 'lon', ST_X(s.position), 'speed_kmh', s.speed_kmh, 'course_deg', s.course_deg,
                'satellites', s.satellites, 'accuracy_m', s.accuracy_m,
                'source', (ARRAY['gnss', 'cell', 'wifi'])[s.source + 1]) END,
            'last_heard_at', s.last_heard_at, 'contact', c.contact, 'report_interval_s', s.report_interval_s,
            'battery_percent', s.battery_percent, 'external_power', s.external_power,
            'ignition', s.ignition, 'open_incident', i.incident_id::text, 'open_incident_answer', i.answer, 'positioning_off_since', p.off_at)
        FROM vehicle v
        LEFT JOIN installation n ON n.vehicle_id = v.vehicle_id AND n.valid_to IS NULL
        LEFT JOIN tracker t USING (tracker_id)
        LEFT JOIN tracker_status s USING (tracker_id)
        LEFT JOIN positioning_off p ON p.vehicle_id = v.vehicle_id AND p.on_at IS NULL
        CROSS JOIN LATERAL (SELECT CASE WHEN p.vehicle_id IS NOT NULL THEN 'off' ELSE contact_of(s.last_heard_at, s.report_interval_s) END) AS c (contact)
        LEFT JOIN guard_status g ON g.vehicle_id = v.vehicle_id
        LEFT JOIN incident i ON i.vehicle_id = v.vehicle_id AND i.closed_at IS NULL
        WHERE v.vehicle_id = p_vehicle);
END $$;

-- Every lane hears of it, so that another tracker in the vehicle changes nothing. NULL: it was so already.
CREATE FUNCTION switch_positioning(p_vehicle bigint, p_off boolean, p_by bigint, p_reason text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE id bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(7241001);
    IF p_off THEN
        INSERT INTO positioning_off (vehicle_id, by_account, reason) VALUES (p_vehicle, p_by, p_reason) ON CONFLICT DO NOTHING;
        IF NOT FOUND THEN
            UPDATE positioning_off SET reason = p_reason, by_account = p_by WHERE vehicle_id = p_vehicle AND on_at IS NULL AND p_reason = 'consent';
            RETURN NULL;
        END IF;
        UPDATE share_link SET revoked_at = now() WHERE vehicle_id = p_vehicle AND revoked_at IS NULL;
    ELSE
        UPDATE positioning_off SET on_at = greatest(now(), off_at + interval '1 microsecond') WHERE vehicle_id = p_vehicle AND on_at IS NULL;
        IF NOT FOUND THEN RETURN NULL; END IF;
    END IF;
    id := add_setting(NULL, jsonb_build_object('kind', 'positioning', 'vehicle', p_vehicle, 'off', p_off));
    IF NOT p_off THEN
        -- The guard knows nothing of it by now: neither what it is nor when it is to be guarded.
        PERFORM tell_tracker(i.tracker_id) FROM installation i WHERE i.vehicle_id = p_vehicle AND i.valid_to IS NULL;
        id := coalesce(tell_guarding(p_vehicle), id);
    END IF;
    PERFORM write_audit(p_by, NULL, CASE WHEN p_off THEN 'positioning_off' ELSE 'positioning_on' END,
        jsonb_build_object('vehicle', p_vehicle, 'reason', p_reason), NULL);
    RETURN id;
END $$;

CREATE FUNCTION consent_is_withdrawn(p_account bigint) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT count(*) > 0 AND count(*) = count(withdrawn_at) FROM consent WHERE account_id = p_account
$$;

-- The setting that is to be in force, if something changed.
CREATE FUNCTION api_switch_positioning(p_token bytea, p_vehicle bigint, p_off boolean) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE who asker := asker_of(p_token, 'owner');
BEGIN
    PERFORM must_own(who, p_vehicle);
    IF NOT p_off AND consent_is_withdrawn(who.account_id) THEN
        PERFORM refuse('P0409', 'consent_withdrawn', 'the consent is withdrawn; give it again first');
    END IF;
    RETURN switch_positioning(p_vehicle, p_off, who.account_id, 'choice');
END $$;

CREATE FUNCTION api_my_consents(p_token bytea) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE who asker := asker_of(p_token, 'owner');
BEGIN
    RETURN jsonb_build_object('is_withdrawn', consent_is_withdrawn(who.account_id), 'consents', coalesce((
        SELECT jsonb_agg(jsonb_build_object('version', c.version, 'given_at', c.given_at, 'channel', c.channel, 'withdrawn_at', c.withdrawn_at,
            'withdrawn_channel', c.withdrawn_channel) ORDER BY c.given_at, c.consent_id)
        FROM (SELECT * FROM consent n WHERE n.account_id = who.account_id ORDER BY n.given_at DESC LIMIT 100) c), '[]'));
END $$;

-- Where none is on record (it is on paper, or older than the records), that it is withdrawn is put on record.
CREATE FUNCTION api_withdraw_consent(p_token bytea) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    who  asker := asker_of(p_token, 'owner');
    last bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(7241001);
    IF consent_is_withdrawn(who.account_id) THEN RETURN NULL; END IF;
    UPDATE consent SET withdrawn_at = greatest(now(), given_at), withdrawn_channel = 'page' WHERE account_id = who.account_id AND withdrawn_at IS NULL;
    IF NOT FOUND THEN
        INSERT INTO consent (account_id, version, channel, withdrawn_at, withdrawn_channel) VALUES (who.account_id, 'unrecorded', 'paper', now(), 'page');
    END IF;
    PERFORM write_audit(who.account_id, NULL, 'consent_withdrawn', '{}', NULL);
    SELECT max(switch_positioning(w.vehicle_id, true, who.account_id, 'consent')) INTO last FROM ownership w WHERE w.account_id = who.account_id AND w.valid_to IS NULL;
    RETURN last;
END $$;

CREATE FUNCTION api_give_consent(p_token bytea, p_version text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    who    asker := asker_of(p_token, 'owner');
    before bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(7241001);
    IF EXISTS (SELECT FROM consent WHERE account_id = who.account_id AND version = p_version AND withdrawn_at IS NULL) THEN RETURN NULL; END IF;
    SELECT max(setting_id) INTO before FROM setting;
    INSERT INTO consent (account_id, version, channel) VALUES (who.account_id, p_version, 'page');
    PERFORM write_audit(who.account_id, NULL, 'consent_given', jsonb_build_object('version', p_version), NULL);
    RETURN (SELECT max(setting_id) FROM setting WHERE setting_id > coalesce(before, 0));
END $$;

-- A consent switches on what its withdrawal had switched off, wherever it is given; what somebody chose stays off.
CREATE FUNCTION consent_given() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM switch_positioning(p.vehicle_id, false, NEW.account_id, 'consent') FROM positioning_off p JOIN ownership w USING (vehicle_id)
        WHERE p.on_at IS NULL AND p.reason = 'consent' AND w.valid_to IS NULL AND w.account_id = NEW.account_id;
    RETURN NULL;
END $$;
CREATE TRIGGER consent_given AFTER INSERT ON consent FOR EACH ROW WHEN (NEW.withdrawn_at IS NULL) EXECUTE FUNCTION consent_given();

-- Who withdrew it has nothing collected of a vehicle that becomes theirs either. What was off stays off until they switch it on.
CREATE FUNCTION ownership_without_consent() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF consent_is_withdrawn(NEW.account_id) THEN PERFORM switch_positioning(NEW.vehicle_id, true, NEW.account_id, 'consent'); END IF;
    RETURN NULL;
END $$;
-- An import does the same for all lines at once; see import_enter.
CREATE TRIGGER ownership_without_consent AFTER INSERT ON ownership FOR EACH ROW
    WHEN (NEW.valid_to IS NULL AND current_setting('rideguard.in_bulk', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION ownership_without_consent();

-- Times without positioning, for a track that whoever asks may see.
CREATE FUNCTION api_positioning_off(p_token bytea, p_grant bigint, p_vehicle bigint, p_from timestamptz, p_to timestamptz)
RETURNS TABLE (off_at timestamptz, on_at timestamptz) LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    who   asker := asker_of(p_token, 'owner', 'family', 'police');
    since timestamptz := '-infinity';
BEGIN
    IF who.role = 'police' THEN
        PERFORM check_window(check_grant(who.account_id, p_grant), p_from, p_to);
    ELSE
        SELECT r.since INTO since FROM vehicle_right r WHERE r.account_id = who.account_id AND r.vehicle_id = p_vehicle;
        IF since IS NULL THEN RAISE EXCEPTION 'no vehicle % of yours', p_vehicle USING ERRCODE = 'P0404'; END IF;
    END IF;
    RETURN QUERY SELECT greatest(p.off_at, p_from, since), least(coalesce(p.on_at, now()), p_to) FROM positioning_off p
        WHERE p.vehicle_id = p_vehicle AND p.off_at < least(p_to, now()) AND coalesce(p.on_at, 'infinity') > greatest(p_from, since)
        ORDER BY p.off_at LIMIT 1000;
END $$;

-- ── what family may do, in the functions that were the owner's alone ───────────────────────
-- 0: see; 1: arm; 2: answer; 3: own.
CREATE FUNCTION may_do(p_account bigint, p_vehicle bigint, p_rank integer) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM vehicle_right WHERE account_id = p_account AND vehicle_id = p_vehicle AND rank >= p_rank)
$$;

-- Who may see but not do this is told so; to everybody else the vehicle is not there.
CREATE FUNCTION must_be_let(p_account bigint, p_vehicle bigint, p_rank integer) RETURNS void LANGUAGE plpgsql STABLE AS $$
DECLARE mine text := (SELECT may FROM vehicle_right WHERE account_id = p_account AND vehicle_id = p_vehicle);
BEGIN
    IF mine IS NOT NULL AND NOT may_do(p_account, p_vehicle, p_rank) THEN
        PERFORM refuse('P0403', 'family_right', format('the owner lets you %s; this needs another right', mine),
            jsonb_build_object('may', mine, 'needs', (ARRAY['see', 'arm', 'answer', 'own'])[p_rank + 1]));
    END IF;
END $$;

CREATE OR REPLACE FUNCTION arm_vehicle(p_account bigint, p_vehicle bigint, p_armed boolean) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE carrier text;
BEGIN
    PERFORM pg_advisory_xact_lock(7241001);
    PERFORM must_be_let(p_account, p_vehicle, 1);
    IF NOT may_do(p_account, p_vehicle, 1) THEN RETURN NULL; END IF;
    SELECT t.ident INTO carrier FROM installation n JOIN tracker t USING (tracker_id) WHERE n.vehicle_id = p_vehicle AND n.valid_to IS NULL;
    IF carrier IS NULL THEN
        PERFORM refuse('P0409', 'no_tracker', 'the vehicle carries no tracker');
    END IF;
    IF p_armed AND is_off(p_vehicle) THEN
        PERFORM refuse('P0409', 'positioning_off', 'positioning of this vehicle is off; its owner can switch it on');
    END IF;
    PERFORM write_audit(p_account, NULL, CASE WHEN p_armed THEN 'arm' ELSE 'disarm' END, jsonb_build_object('vehicle', p_vehicle), NULL);
    RETURN add_setting(lane_of(carrier), jsonb_build_object('kind', CASE WHEN p_armed THEN 'arm' ELSE 'disarm' END, 'vehicle', p_vehicle));
END $$;

CREATE OR REPLACE FUNCTION api_switch(p_token bytea, p_vehicle bigint, p_armed boolean, p_withdraw boolean) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE who asker := asker_of(p_token, 'owner', 'family');
BEGIN
    PERFORM must_be_let(who.account_id, p_vehicle, 1);
    IF may_do(who.account_id, p_vehicle, 1) AND EXISTS (SELECT FROM incident WHERE vehicle_id = p_vehicle AND closed_at IS NULL AND answer = 'stolen') THEN
        -- That a theft is none is an answer.
        PERFORM must_be_let(who.account_id, p_vehicle, 2);
        IF NOT p_withdraw THEN
            PERFORM refuse('P0409', 'confirm_withdrawal', 'the incident is answered "stolen"; taking that back needs "withdraw": true');
        END IF;
    END IF;
    RETURN arm_vehicle(who.account_id, p_vehicle, p_armed);
END $$;

CREATE OR REPLACE FUNCTION api_setting_applied(p_token bytea, p_setting bigint) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    who        asker;
    of_vehicle bigint := (SELECT (content ->> 'vehicle')::bigint FROM setting WHERE setting_id = p_setting);
BEGIN
    IF NOT EXISTS (SELECT FROM phone_token WHERE token_sha256 = p_token AND vehicle_id = of_vehicle) THEN
        who := asker_of(p_token, VARIADIC every_role());
        IF who.role IN ('owner', 'family') AND NOT may_do(who.account_id, of_vehicle, 1) THEN
            RAISE EXCEPTION 'no vehicle % of yours', of_vehicle USING ERRCODE = 'P0404';
        END IF;
    END IF;
    RETURN (SELECT bool_and(l.setting_cursor >= s.setting_id AND l.applied >= l.journaled)
        FROM setting s JOIN lane l ON s.lane IS NULL OR l.lane = s.lane WHERE s.setting_id = p_setting);
END $$;

-- Family knows the incident of now, and those since they accepted.
CREATE OR REPLACE FUNCTION incident_of(p_account bigint, p_incident bigint) RETURNS incident LANGUAGE sql STABLE AS $$
    SELECT i.* FROM incident i JOIN vehicle_right r USING (vehicle_id)
    WHERE i.incident_id = p_incident AND r.account_id = p_account AND i.opened_at >= r.owned_since AND (i.opened_at >= r.since OR i.closed_at IS NULL)
$$;

CREATE OR REPLACE FUNCTION api_answer(p_token bytea, p_incident bigint, p_answer text, p_version integer, p_withdraw boolean) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    who asker := asker_of(p_token, 'owner', 'family');
    i       incident := incident_of(who.account_id, p_incident);
    lane    smallint := carrier_lane(i.vehicle_id);
    changes boolean := i.answer IS NOT NULL AND i.answer <> p_answer;
BEGIN
    IF i.incident_id IS NULL THEN RETURN NULL; END IF;
    PERFORM must_be_let(who.account_id, i.vehicle_id, 2);
    IF lane IS NULL THEN
        PERFORM refuse('P0409', 'no_tracker', 'the vehicle carries no tracker');
    END IF;
    IF coalesce(p_version <> i.version, changes) THEN
        PERFORM refuse('P0409', 'incident_changed', format('the incident is at version %s by now; look at it and answer again', i.version),
            jsonb_build_object('version', i.version, 'given', p_version));
    END IF;
    IF i.answer = p_answer AND (p_answer <> 'stolen' OR i.closed_at IS NULL) THEN
        PERFORM refuse('P0409', 'already_answered', 'the incident has this answer already', jsonb_build_object('answer', p_answer));
    END IF;
    IF i.closed_at IS NOT NULL AND (changes OR p_answer = 'stolen') AND NOT (
        p_answer = 'stolen' AND i.state = 'false_alarm' AND i.answer = 'me' AND i.closed_at > now() - incident_reopen_max()
        AND NOT EXISTS (SELECT FROM incident o WHERE o.vehicle_id = i.vehicle_id AND o.closed_at IS NULL)) THEN
        PERFORM refuse('P0409', 'incident_closed', 'the incident is over; its answer stands', jsonb_build_object('state', i.state));
    END IF;
    IF i.answer = 'stolen' AND p_answer = 'me' AND NOT p_withdraw THEN
        PERFORM refuse('P0409', 'confirm_withdrawal', 'the incident is answered "stolen"; taking that back needs "withdraw": true');
    END IF;
    PERFORM write_audit(who.account_id, NULL, 'answer', jsonb_build_object('incident', p_incident::text, 'answer', p_answer), NULL);
    RETURN add_setting(lane, jsonb_build_object('kind', 'answer', 'vehicle', i.vehicle_id, 'incident', p_incident, 'answer', p_answer,
        'seen', jsonb_build_object('answer', i.answer)));
END $$;

CREATE OR REPLACE FUNCTION api_my_alerts(p_token bytea, p_before bigint, p_limit integer) RETURNS SETOF jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE who asker := asker_of(p_token, 'owner', 'family');
BEGIN
    RETURN QUERY SELECT alert_as_json(a.alert_id) FROM alert a JOIN vehicle_right r USING (vehicle_id)
    WHERE r.account_id = who.account_id AND a.raised_at >= r.since AND (p_before IS NULL OR a.alert_id < p_before)
    ORDER BY a.alert_id DESC LIMIT p_limit;
END $$;

CREATE OR REPLACE FUNCTION api_my_incident(p_token bytea, p_incident bigint) RETURNS SETOF jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE who asker := asker_of(p_token, 'owner', 'family');
BEGIN
    RETURN QUERY SELECT incident_as_json(i) || jsonb_build_object(
        'alerts', coalesce((SELECT jsonb_agg(alert_as_json(a.alert_id) || jsonb_build_object('evidence', a.evidence) ORDER BY a.alert_id)
                   FROM alert a WHERE a.vehicle_id = i.vehicle_id AND a.incident_id = i.incident_id), '[]'),
        'timeline', coalesce((SELECT jsonb_agg(line ORDER BY at, is_note) FROM (
                SELECT a.raised_at AS at, false AS is_note, jsonb_build_object('at', a.raised_at, 'kind', 'alert', 'alert', a.kind) AS line
                FROM alert a WHERE a.vehicle_id = i.vehicle_id AND a.incident_id = i.incident_id
                UNION ALL
                SELECT n.at, true, jsonb_build_object('kind', n.kind) || n.detail - 'note' - 'at' || jsonb_build_object('at', n.at)
                    || CASE WHEN n.detail ? 'at' THEN jsonb_build_object('happened_at', to_timestamp((n.detail ->> 'at')::float8 / 1e6)) ELSE '{}' END
                FROM incident_note n WHERE n.incident_id = i.incident_id) lines), '[]'))
    FROM incident_of(who.account_id, p_incident) i WHERE i.incident_id IS NOT NULL;
END $$;

CREATE OR REPLACE FUNCTION api_my_incidents(p_token bytea, p_before timestamptz, p_limit integer) RETURNS SETOF jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE who asker := asker_of(p_token, 'owner', 'family');
BEGIN
    RETURN QUERY SELECT incident_as_json(i) FROM incident i JOIN vehicle_right r USING (vehicle_id)
    WHERE r.account_id = who.account_id AND i.opened_at >= r.owned_since AND (i.opened_at >= r.since OR i.closed_at IS NULL)
        AND (p_before IS NULL OR i.opened_at < p_before)
    ORDER BY i.opened_at DESC LIMIT p_limit;
END $$;

CREATE OR REPLACE FUNCTION api_my_pieces(p_token bytea, p_vehicle bigint, p_from timestamptz, p_to timestamptz) RETURNS SETOF found
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    who asker := asker_of(p_token, 'owner', 'family');
    since timestamptz;
    rank  integer;
BEGIN
    SELECT r.since, r.rank INTO since, rank FROM vehicle_right r WHERE r.account_id = who.account_id AND r.vehicle_id = p_vehicle;
    IF since IS NULL THEN RAISE EXCEPTION 'no vehicle % of yours', p_vehicle USING ERRCODE = 'P0404'; END IF;
    -- The owner's own past is theirs; the family's view of it ends with the positioning.
    IF rank < 3 AND is_off(p_vehicle) THEN RETURN; END IF;
    RETURN QUERY SELECT * FROM pieces_of(p_vehicle, greatest(p_from, since), p_to);
END $$;

-- A vehicle as those see it who have a right to it: nothing from before its owner's time but whether there is contact, and no
-- place while positioning is off by choice.
CREATE FUNCTION shown_vehicle_as_json(p_vehicle bigint, p_since timestamptz) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT v || CASE WHEN (v ->> 'positioning_off_since')::timestamptz < p_since THEN jsonb_build_object('positioning_off_since', p_since) ELSE '{}' END
             || CASE WHEN v ->> 'contact' = 'off' THEN '{"last_fix": null}' ELSE '{}' END::jsonb
             || CASE WHEN (v ->> 'armed_at')::timestamptz < p_since THEN '{"guard_point": null, "armed": false, "armed_at": null, "protection": "off"}' ELSE '{}' END::jsonb
             || CASE WHEN (v ->> 'last_heard_at')::timestamptz < p_since THEN
                    '{"last_heard_at": null, "battery_percent": null, "external_power": null, "ignition": null}' ELSE '{}' END::jsonb
    FROM owned_vehicle_as_json(p_vehicle, p_since) v
$$;

CREATE OR REPLACE FUNCTION api_my_vehicle(p_token bytea, p_vehicle bigint) RETURNS SETOF jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE who asker := asker_of(p_token, 'owner', 'family');
BEGIN
    RETURN QUERY SELECT shown_vehicle_as_json(r.vehicle_id, r.owned_since) || jsonb_build_object('may', r.may) FROM vehicle_right r
    WHERE r.account_id = who.account_id AND r.vehicle_id = p_vehicle;
END $$;

CREATE OR REPLACE FUNCTION api_my_vehicles(p_token bytea) RETURNS SETOF jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE who asker := asker_of(p_token, 'owner', 'family');
BEGIN
    RETURN QUERY SELECT shown_vehicle_as_json(r.vehicle_id, r.owned_since) || jsonb_build_object('may', r.may)
    FROM vehicle_right r JOIN vehicle v USING (vehicle_id) WHERE r.account_id = who.account_id ORDER BY r.rank DESC, v.plate;
END $$;

-- Open streams ask for their right every 2 s, and end where it is shared and nobody answers: within 5 s they lose what was
-- revoked.
CREATE OR REPLACE FUNCTION api_open_live(p_token bytea, p_grant bigint, p_ticket bytea) RETURNS timestamptz
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    who   asker := asker_of(p_token, 'owner', 'family', 'police', 'operator');
    until timestamptz := now() + interval '30 seconds';
BEGIN
    IF who.role = 'police' THEN PERFORM check_grant(who.account_id, p_grant); END IF;
    DELETE FROM live_ticket WHERE expires_at < now();
    INSERT INTO live_ticket (ticket_sha256, account_id, session_sha256, grant_id, expires_at)
        VALUES (p_ticket, who.account_id, p_token, CASE WHEN who.role = 'police' THEN p_grant END, until);
    RETURN until;
END $$;

CREATE OR REPLACE FUNCTION api_live_right(p_token bytea, p_grant bigint)
RETURNS TABLE (goes_on boolean, owned bigint[], owned_since timestamptz[], area_km2_max float8, organisation_id bigint, is_shared boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT p.role <> 'police' OR g.grant_id IS NOT NULL,
           ARRAY(SELECT r.vehicle_id FROM vehicle_right r WHERE r.account_id = p.account_id AND NOT is_off(r.vehicle_id) ORDER BY r.vehicle_id),
           ARRAY(SELECT r.owned_since FROM vehicle_right r WHERE r.account_id = p.account_id AND NOT is_off(r.vehicle_id) ORDER BY r.vehicle_id),
           g.area_km2_max, u.organisation_id, EXISTS (SELECT FROM vehicle_right r WHERE r.account_id = p.account_id AND r.may <> 'own')
    FROM session s JOIN account p USING (account_id) LEFT JOIN unit u USING (unit_id)
    LEFT JOIN access_grant g ON p.role = 'police' AND g.grant_id = p_grant AND g.account_id = p.account_id AND now() BETWEEN g.valid_from AND g.valid_to
    WHERE s.token_sha256 = p_token AND s.expires_at > now() AND NOT p.disabled
$$;

-- Of the accounts that have one of these sessions.
CREATE FUNCTION is_watched_by(p_account bigint, p_tokens bytea[]) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM session s JOIN account p USING (account_id)
        WHERE s.account_id = p_account AND s.token_sha256 = ANY (p_tokens) AND s.expires_at > now() AND NOT p.disabled)
$$;
DROP FUNCTION api_alert_news(bigint);
CREATE FUNCTION api_alert_news(p_tokens bytea[], p_alert bigint) RETURNS TABLE (account_id bigint, alert jsonb)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT r.account_id, alert_as_json(a.alert_id) FROM alert a JOIN vehicle_right r USING (vehicle_id)
    WHERE a.alert_id = p_alert AND a.raised_at >= r.since AND is_watched_by(r.account_id, p_tokens)
$$;

DROP FUNCTION api_incident_news(bigint);
CREATE FUNCTION api_incident_news(p_tokens bytea[], p_incident bigint) RETURNS TABLE (account_id bigint, incident jsonb)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    RETURN QUERY SELECT r.account_id, jsonb_build_object('id', i.incident_id::text, 'vehicle_id', i.vehicle_id::text, 'state', i.state, 'answer', i.answer,
        'version', i.version, 'opened_at', i.opened_at, 'closed_at', i.closed_at, 'is_drill', was_in_trial(i.vehicle_id, i.opened_at))
    FROM incident i JOIN vehicle_right r USING (vehicle_id)
    WHERE i.incident_id = p_incident AND i.opened_at >= r.owned_since AND is_watched_by(r.account_id, p_tokens);
END $$;
