-- A vehicle that gets a tracker of another lane is guarded by that lane from then on, and by no other: the lane of before would
-- take its silence for a theft, and the new one would not know that it is armed.

-- Who said it, and when: while a vehicle changes lanes, both may.
ALTER TABLE guard_status ADD COLUMN told_at timestamptz, ADD COLUMN lane smallint;

CREATE FUNCTION hand_over(p_vehicle bigint, p_to smallint, p_from smallint[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    before smallint;
BEGIN
    FOREACH before IN ARRAY p_from LOOP
        IF before <> p_to THEN
            PERFORM add_setting(before, jsonb_build_object('kind', 'handed_over', 'vehicle', p_vehicle));
        END IF;
    END LOOP;
    -- The first is the lane that guarded it last. What its owner of today switched on goes on; schedules and parking begin by themselves.
    IF p_from[1] <> p_to AND EXISTS (
        SELECT FROM guard_status g JOIN ownership w USING (vehicle_id)
        WHERE g.vehicle_id = p_vehicle AND g.armed AND g.by = 'owner' AND w.valid_to IS NULL AND w.valid_from <= g.since) THEN
        PERFORM add_setting(p_to, jsonb_build_object('kind', 'arm', 'vehicle', p_vehicle));
    END IF;
END $$;

-- A tracker that comes into a vehicle brings along what is set for the vehicle.
CREATE OR REPLACE FUNCTION installation_changed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    other  bigint := CASE WHEN TG_OP = 'UPDATE' AND OLD.vehicle_id = NEW.vehicle_id THEN OLD.tracker_id END;
    is_open boolean := TG_OP <> 'DELETE' AND NEW.valid_to IS NULL;
    is_new boolean := is_open AND (TG_OP = 'INSERT' OR OLD.valid_to IS NOT NULL OR (OLD.vehicle_id, OLD.tracker_id) <> (NEW.vehicle_id, NEW.tracker_id));
BEGIN
    PERFORM tell_tracker(coalesce(NEW.tracker_id, OLD.tracker_id));
    IF TG_OP = 'UPDATE' AND OLD.tracker_id <> NEW.tracker_id THEN
        PERFORM tell_tracker(OLD.tracker_id);
    END IF;
    IF is_new THEN
        PERFORM hand_over(NEW.vehicle_id, lane_of(t.ident), ARRAY(
            SELECT lane_of(b.ident) FROM (
                SELECT i.tracker_id, i.valid_to FROM installation i
                WHERE i.vehicle_id = NEW.vehicle_id AND i.valid_to IS NOT NULL AND i.tracker_id <> NEW.tracker_id
                UNION ALL SELECT other, 'infinity' WHERE other <> NEW.tracker_id) e JOIN tracker b USING (tracker_id)
            GROUP BY 1 ORDER BY max(e.valid_to) DESC))
        FROM tracker t WHERE t.tracker_id = NEW.tracker_id;
    END IF;
    IF is_open THEN
        PERFORM tell_zone(z) FROM zone z WHERE z.vehicle_id = NEW.vehicle_id;
        PERFORM tell_guarding(NEW.vehicle_id);
    END IF;
    RETURN NULL;
END $$;
