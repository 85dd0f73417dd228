//! Every number the guard reckons with: name, unit, and what raising it trades.
//!
//! One fixed configuration serves all vehicles. What a vehicle is like (its drift, its report interval,
//! whether it has an accelerometer) is learned from its own reports, not configured.

use serde::{Deserialize, Serialize};

/// The guard's tunables. `Params::default()` is what we measured; see `docs/guard.md`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Params {
    /// Departure by satellite fixes.
    pub exit: ExitParams,
    /// Where a parked vehicle is, and how far its fixes stray.
    pub anchor: AnchorParams,
    /// Departure by cell positions alone.
    pub cell: CellParams,
    /// Power cut.
    pub power: PowerParams,
    /// Silence.
    pub silence: SilenceParams,
    /// Stale positions.
    pub stale: StaleParams,
    /// Which tracker clocks are believed.
    pub clock: ClockParams,
    /// Low battery.
    pub battery: BatteryParams,
    /// Zones.
    pub zone: ZoneParams,
    /// Incidents.
    pub incident: IncidentParams,
    /// Outages of a neighbourhood.
    pub hood: HoodParams,
    /// What suspects may remember together.
    pub pool: PoolParams,
}

macro_rules! params {
    ($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $field:ident: $ty:ty = $value:expr,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name { $($(#[$fdoc])* pub $field: $ty,)* }
        impl Default for $name {
            fn default() -> Self { Self { $($field: $value,)* } }
        }
    };
}

params! {
    /// Departure: evidence is summed over the recent fixes; each fix counts only so much, since a
    /// receiver can lie about its own accuracy. Evidence is in nats (natural log of odds), roughly.
    ExitParams {
        /// Evidence that raises the alert, nats. Higher: fewer false alarms, later alerts.
        evidence_min: f32 = 6.0,
        /// Most that can be held, nats. Higher: one fix back home takes longer to calm.
        evidence_max: f32 = 10.0,
        /// Distance that counts as "still here", in standard errors. Higher: calmer, later.
        inside_z: f32 = 2.0,
        /// How much the guard point itself may be off, in squared standard errors of one fix; it
        /// shrinks with the fixes learned from. Higher: calmer just after arming.
        home_error: f32 = 1.0,
        /// Evidence per standard error beyond `inside_z`, nats.
        per_z: f32 = 0.35,
        /// Most that distance alone can add with one fix, nats.
        distance_max: f32 = 2.0,
        /// What a fix inside takes away, nats.
        inside_cost: f32 = 2.0,
        /// What a fix inside adds that is shaken, has speed and heads out, nats.
        setting_off: f32 = 1.0,
        /// One fix is enough at this speed, km/h ...
        ridden_kmh: f32 = 10.0,
        /// ... after so many packets of shaking.
        ridden_shaking: u8 = 4,
        /// ... and the step from the fix before is at most so many times as fast (and 10 km/h).
        ridden_fit: f32 = 2.0,
        /// What an outward step of plausible speed adds, nats.
        progress: f32 = 1.1,
        /// Slower than this between two fixes is creeping error, not a thief, km/h.
        creep_kmh: f32 = 2.0,
        /// Share of the distance's evidence that a creeping fix keeps.
        creep_share: f32 = 0.05,
        /// Course and displacement within this of each other agree, degrees.
        course_agrees_deg: f32 = 40.0,
        /// Share of the speed floor from which on a course means something.
        course_floor_share: f32 = 0.4,
        /// Fixes on course (agreeing less contradicting) with which one fix outside is enough.
        one_fix_on_course: u32 = 3,
        /// What that adds, nats.
        course_agrees: f32 = 1.2,
        /// Beyond this they contradict each other, degrees.
        course_contradicts_deg: f32 = 75.0,
        /// What that takes away, nats; Doppler speed then adds nothing either.
        course_cost: f32 = 1.5,
        /// Least displacement whose direction means something, metres.
        course_step_m: f32 = 6.0,
        /// Longest step that is held against the course; over longer ones the way from home is, seconds.
        course_step_s: f32 = 30.0,
        /// A fix with fewer satellites, or with more hdop, is a guess: it adds at most `jump`.
        satellites_min: u8 = 4,
        /// See `satellites_min`.
        hdop_max: f32 = 8.0,
        /// What agreement of Doppler speed and displacement adds, nats.
        speed_agrees: f32 = 0.5,
        /// Least Doppler speed that says "moving", km/h ...
        speed_floor_kmh: f32 = 2.5,
        /// ... and in multiples of the mean speed this tracker reports at rest.
        speed_floor_noises: f32 = 3.0,
        /// What a Doppler speed above the floor adds, nats.
        speed_moderate: f32 = 1.0,
        /// What a Doppler speed above twice the floor adds, nats.
        speed_high: f32 = 2.4,
        /// What a Doppler speed below half the floor takes away, nats.
        speed_none_cost: f32 = 2.2,
        /// Displacement at which a Doppler speed of nothing contradicts it, km/h.
        contradiction_kmh: f32 = 8.0,
        /// What such a contradiction takes away, nats.
        contradiction_cost: f32 = 3.0,
        /// Most that a fix without Doppler speed can add before that cost, nats.
        contradicted_max: f32 = 2.0,
        /// Evidence asked in addition of trackers that never report a speed, nats.
        without_speed_extra: f32 = 2.0,
        /// Evidence asked in addition while the guard point rests on fewer than so many fixes and no
        /// accelerometer can confirm, nats: the first fixes may have been wrong.
        young_extra: f32 = 3.0,
        /// So many.
        young_fixes: f32 = 4.0,
        /// What one packet of sustained shaking adds, nats (up to four in a row count).
        shaking: f32 = 0.35,
        /// Fixes at the guard point while shaken after which shaking counts for nothing: a thief
        /// leaves, wind and builders stay.
        shaken_at_home: f32 = 8.0,
        /// Share of the evidence of a speed that the tracker's own report interval does not believe.
        unhurried_share: f32 = 0.3,
        /// Two fixes in a row beyond this are far off, metres ...
        far_again_m: f32 = 120.0,
        /// ... and add this, nats.
        far_again: f32 = 2.0,
        /// Steps longer than this are contradicted the less by a Doppler speed of nothing, seconds.
        contradiction_s: f32 = 60.0,
        /// Most that a leap faster than any vehicle can add by its distance, nats.
        jump: f32 = 0.2,
        /// Most that one fix can add, nats.
        fix_max: f32 = 5.0,
        /// What an accelerometer at rest takes away, nats.
        at_rest_cost: f32 = 1.5,
        /// Faster than this between two fixes is no vehicle but an error, m/s.
        jump_speed_mps: f32 = 45.0,
        /// Closest a departure may be called, metres.
        distance_min_m: f32 = 32.0,
        /// The same in spreads of the vehicle's own drift.
        distance_min_spreads: f32 = 1.1,
        /// Beyond this the fixes need not head outward, metres.
        far_m: f32 = 70.0,
        /// The same in spreads of the vehicle's own drift.
        far_spreads: f32 = 2.2,
        /// Samples in a row that break off shaking when older than this, seconds.
        shaking_gap_s: f32 = 240.0,
        /// Last heard shaking this long ago is rest, seconds: from then on, what the receiver says
        /// is its error and not a movement.
        rest_s: f64 = 45.0,
        /// Re-appeared elsewhere: fixes in a row that must agree.
        elsewhere_fixes: u8 = 6,
        /// ... for this long, seconds.
        elsewhere_s: f64 = 600.0,
        /// ... so far from the guard point, metres.
        elsewhere_m: f32 = 300.0,
        /// ... which must have learned from so many fixes.
        elsewhere_weight: f32 = 8.0,
    }
}

params! {
    /// The guard point and the spread of the parked fixes around it.
    AnchorParams {
        /// Spread assumed before anything is learned, metres (nine in ten fixes lie within).
        spread_start_m: f32 = 30.0,
        /// Least spread believed, metres. Lower: earlier alerts for good receivers, more false ones.
        spread_min_m: f32 = 26.0,
        /// Largest spread believed, metres. Higher: deaf where reception is poor.
        spread_max_m: f32 = 80.0,
        /// Fixes this close in time are one measurement, since errors hold on, seconds.
        independent_s: f32 = 60.0,
        /// Memory of the guard point, in independent fixes.
        memory_fixes: f32 = 48.0,
        /// Fixes from this long before arming may already show where it is parked, seconds.
        before_arming_s: f32 = 120.0,
        /// ... if they lie within this of each other, metres.
        before_arming_m: f32 = 8.0,
        /// Error assumed where a fix reports none, metres.
        error_default_m: f32 = 8.0,
        /// Metres of error per unit of hdop.
        error_per_hdop_m: f32 = 4.0,
        /// A satellite fix that admits more error than this is treated as a cell position, metres.
        error_cell_m: f32 = 200.0,
        /// Fixes that must agree on another place before a young guard point moves there.
        settle_fixes: u8 = 5,
        /// ... over at least this long, seconds.
        settle_s: f32 = 180.0,
        /// A guard point that learned from more than this many fixes moves no more at once.
        young_weight: f32 = 6.0,
    }
}

params! {
    /// Departure by cell positions, when satellites are lost (a van, a jammer).
    CellParams {
        /// Distance beyond every cell position seen while parked, metres.
        distance_min_m: f32 = 2200.0,
        /// Cell positions in agreement.
        fixes_min: u8 = 3,
        /// Packets of shaking among the recent ones that must go with it (trackers with an accelerometer).
        shaking_min: u8 = 5,
        /// Shaking this long without any satellite fix, when both began together, is carrying off in
        /// a van or under a jammer even if no cell tower says so, seconds.
        dark_s: f32 = 400.0,
        /// Share of the packets that must report shaking meanwhile.
        dark_share: f32 = 0.8,
        /// Rest for so long breaks it off, seconds.
        dark_rest_s: f64 = 60.0,
        /// Cell towers that still answer within this of the first ones say that it is parked, metres.
        same_mast_m: f32 = 150.0,
        /// Places of cell towers, each this far from all others, that only a moving vehicle passes (8 at most).
        masts_passed: u8 = 5,
        /// Packets of shaking it takes at least.
        dark_packets: u16 = 15,
        /// The last satellite fix before it may be this many report intervals old ...
        sky_rhythms: f64 = 1.2,
        /// ... plus this, seconds.
        sky_extra_s: f64 = 30.0,
        /// Without an accelerometer the distance must be larger by this factor.
        no_motion_factor: f32 = 2.0,
    }
}

params! {
    /// Loss of the vehicle's supply while guarded.
    PowerParams {
        /// Loss that packets show to have lasted this long is a cut, seconds. Lower: flicker wakes.
        confirmed_s: f32 = 42.0,
        /// With no word that power is back, this long after the first word of loss, seconds.
        deadline_s: f32 = 60.0,
    }
}

params! {
    /// Silence: the deadline follows the tracker's own report interval.
    SilenceParams {
        /// Harmless outages last up to 45 minutes; beyond that plus one report interval it is silence, seconds.
        tolerated_s: f32 = 2708.0,
        /// Rhythm assumed before one is known, seconds.
        rhythm_start_s: f32 = 300.0,
        /// Longest report interval believed, seconds.
        rhythm_max_s: f32 = 900.0,
        /// Share by which the report interval falls towards a shorter interval: more hears a slower tracker sooner, and
        /// takes minutes of shaking for its report interval.
        rhythm_fall: f32 = 0.02,
        /// The same where the report interval seems to be one with lost heartbeats: more forgets them
        /// sooner, and a tracker with two intervals has the shorter one's deadline.
        rhythm_fall_after_lost_beat: f32 = 0.2,
        /// Lost contact is raised (quietly) after this many report intervals ...
        lost_rhythms: f32 = 3.0,
        /// ... plus this, seconds.
        lost_extra_s: f32 = 300.0,
        /// That a session began without contact is raised (quietly) after this, seconds. Lower: raised for trackers that
        /// are about to speak.
        unheard_s: f32 = 60.0,
    }
}

params! {
    /// A receiver that repeats one place while its vehicle moves.
    StaleParams {
        /// Raised (quietly) after so long, seconds. Lower: raised for receivers that only hold still for a while.
        after_s: f64 = 7200.0,
        /// Without a sign of movement for this long it has come to rest, seconds.
        rest_s: f64 = 900.0,
        /// Fewest reports that say that it moves ...
        reports: u16 = 10,
        /// ... and their share of all. Lower: a generator next door is movement.
        share: f32 = 0.5,
    }
}

params! {
    /// When a tracker's clock is believed.
    ClockParams {
        /// Ahead of arrival by more than this: not believed, seconds.
        ahead_s: f64 = 30.0,
        /// Behind arrival by more than this: not believed, seconds (buffers hold a month).
        behind_s: f64 = 30.0 * 86_400.0,
        /// An alert that rests on a packet older than this is marked late, seconds.
        late_s: f64 = 120.0,
    }
}

params! {
    /// Low battery of the tracker.
    BatteryParams {
        /// Raised at or below, percent.
        low_percent: u8 = 15,
        /// Raised again only after it was at or above, percent.
        recovered_percent: u8 = 25,
    }
}

params! {
    /// Zones: hysteresis and confirmation.
    ZoneParams {
        /// Fixes in a row on the other side before a change is believed.
        confirm_fixes: u8 = 2,
        /// How far beyond the border a fix must be to count, metres.
        margin_m: f32 = 15.0,
        /// Zones a vehicle can be remembered to be in.
        inside_max: u8 = 32,
        /// Zones that one fix is compared with; beyond that, zones lying on each other go unseen.
        near_max: u8 = 64,
        /// Two fixes further apart in time than this show no way between them, seconds.
        way_gap_s: f64 = 1800.0,
        /// The same in metres; it bounds the box that is searched.
        way_m: f64 = 20_000.0,
        /// Faster than this between two fixes is no way but an error, m/s.
        way_speed_mps: f64 = 45.0,
        /// How long a superseded version of a zone is kept for late events, seconds.
        history_s: f64 = 7.0 * 86_400.0,
        /// Alerts of one zone that a lane pushes at once ...
        storm_burst: f32 = 30.0,
        /// ... and one more after so long, seconds; beyond that they are kept and listed only.
        storm_every_s: f32 = 20.0,
    }
}

params! {
    /// Incidents.
    IncidentParams {
        /// A kind may speak again in an open incident after the vehicle stood quietly at its guard
        /// point for this long, seconds: else an early false alarm would hide a later theft.
        repeat_after_calm_s: f32 = 1800.0,
        /// How much one signal says, as the probability of a theft if it stood alone. The emergency button:
        weight_sos: f32 = 1.0,
        /// The tracker says that it is taken off.
        weight_tampered: f32 = 0.7,
        /// Movement, or a power cut.
        weight_moved: f32 = 0.6,
        /// Cell towers, or silence.
        weight_indirect: f32 = 0.45,
        /// Two fixes far away.
        weight_away: f32 = 0.6,
        /// An incident this sure is confirmed.
        confirmed_score: f32 = 0.8,
        /// Far away is beyond this of the guard point, metres.
        away_m: f32 = 200.0,
        /// At home is within this of it, metres.
        home_m: f32 = 60.0,
        /// A fix that arrives so long after it happened may explain an alert, seconds.
        late_s: f64 = 120.0,
        /// The ride that an owner claims is over when it is parked within this, metres ...
        standing_m: f32 = 50.0,
        /// ... for this long, seconds ...
        standing_s: f64 = 300.0,
        /// ... or this long after the answer, seconds: a thief who waits gains no more.
        ride_s: f64 = 7200.0,
    }
}

params! {
    /// Outages of a neighbourhood, as a lane sees them: a sixteenth of the city.
    HoodParams {
        /// Fewest lost vehicles that make one. One vehicle in a hundred is out of contact at any time by
        /// itself; five of ten by chance is once in 40 million looks.
        lost_min: u8 = 5,
        /// Share of the guarded vehicles of a cell or a square.
        place_share: f32 = 0.5,
        /// Share of the guarded vehicles of a firmware or of the lane. Lower, since chance has no part in
        /// numbers so large, so that one wide outage is named before its squares are.
        wide_share: f32 = 0.3,
        /// They were last heard within this of each other, seconds: a report interval of five minutes, and doubt.
        together_s: f64 = 600.0,
        /// Operators see it so long after it was noticed, seconds: by then a wider one shows.
        tell_after_s: f64 = 300.0,
        /// It is over when no more than this share of the worst is still lost.
        over_share: f32 = 0.5,
        /// After its end, a vehicle has so long to report before its silence is its own, seconds.
        grace_s: f64 = 900.0,
    }
}

params! {
    /// What the suspects of a lane, a sixteenth of the city, may remember together.
    PoolParams {
        /// Vehicles that hold a full window of samples at once; 240 bytes each, so 2 MB a lane. Of 60,000 guarded
        /// vehicles some hundreds are not quiet at a time. Lower: in a storm fewer thefts are weighed by
        /// more than their newest samples, and some are raised later.
        windows_max: u32 = 8192,
    }
}
