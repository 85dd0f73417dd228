-- The server's log takes the message of a refusal and not its details. So places stand in the details alone.

CREATE OR REPLACE FUNCTION check_zone(p_shape jsonb) RETURNS void LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    area   geometry;
    m2     double precision;
    reason text;
BEGIN
    IF p_shape ->> 'type' <> 'polygon' THEN RETURN; END IF;
    area := ST_MakePolygon(zone_ring(p_shape -> 'outer'),
        ARRAY(SELECT zone_ring(h) FROM jsonb_array_elements(coalesce(p_shape -> 'holes', '[]')) h));
    IF NOT ST_IsValid(area) THEN
        reason := ST_IsValidReason(area);
        PERFORM refuse('P0422', 'polygon_invalid', format('the polygon is none: %s', split_part(reason, '[', 1)), jsonb_build_object('reason', reason));
    END IF;
    m2 := ST_Area(area::geography);
    IF m2 < 100 OR m2 > 2.5e11 THEN
        PERFORM refuse('P0422', 'polygon_area', format('the polygon has an area of %s m²; it must be 100 m² to 250,000 km²', round(m2::numeric)), jsonb_build_object('m2', round(m2::numeric), 'm2_min', 100, 'km2_max', 250000));
    END IF;
END $$;
