//! Power cuts: statuses, alarms, flickers.

use super::*;

#[test]
fn a_flicker_of_the_supply_is_no_cut_and_a_cut_is_told_within_a_minute() {
    let power = |guard: &mut Guard, at: f64, there: bool| {
        let mut m = moment(at, 0.0, 0.0, Some(false));
        m.status.external_power = Some(there);
        let mut findings = guard.advance(V, after(at + 1.0));
        findings.extend(guard.consider(V, &m, &seen(at)));
        findings
    };
    let mut guard = parked(Some(false));
    let mut findings = power(&mut guard, 3610.0, false);
    findings.extend(power(&mut guard, 3650.0, true));
    findings.extend(power(&mut guard, 3900.0, true));
    assert_eq!(woken(&findings), []);
    assert_eq!(woken(&power(&mut guard, 4000.0, false)), []);
    assert_eq!(woken(&guard.tick(after(4061.0))), [AlertKind::PowerCut]);
}

/// A moment at home that says nothing of the supply but these alarms.
fn cut_word(guard: &mut Guard, at: f64, kinds: &[AlarmKind]) -> Vec<AlertKind> {
    let mut m = moment(at, 0.0, 0.0, Some(false));
    m.status.external_power = None;
    m.alarms = kinds.iter().map(|kind| Alarm { kind: *kind, raw: 2 }).collect();
    let mut findings = guard.advance(V, after(at + 1.0));
    findings.extend(guard.consider(V, &m, &seen(at)));
    woken(&findings)
}

/// Armed, an hour at home; its supply is never spoken of.
fn parked_without_a_word_of_supply() -> Guard {
    let mut guard = Guard::new(Params::default());
    guard.arm(V, after(0.0), after(0.0));
    for i in 1..=12 {
        assert_eq!(cut_word(&mut guard, f64::from(i) * 300.0, &[]), []);
    }
    guard
}

#[test]
fn a_power_cut_alarm_alone_wakes_once_however_often_it_is_repeated() {
    let cut: &[AlarmKind] = &[AlarmKind::PowerCut];
    let mut guard = parked_without_a_word_of_supply();
    let mut told = Vec::new();
    for n in 0..6 {
        told.extend(cut_word(&mut guard, 3610.0 + 15.0 * f64::from(n), cut));
    }
    assert_eq!(told, [AlertKind::PowerCut]);
    // A word of something else between, then the alarm again: still the same loss.
    for n in 0..6 {
        let kinds = if n % 2 == 0 { &[] } else { cut };
        assert_eq!(cut_word(&mut guard, 3700.0 + 120.0 * f64::from(n), kinds), []);
    }
}

#[test]
fn a_power_cut_alarm_that_nobody_takes_back_is_told_at_its_deadline() {
    let mut guard = parked_without_a_word_of_supply();
    assert_eq!(cut_word(&mut guard, 3610.0, &[AlarmKind::PowerCut]), []);
    assert_eq!(woken(&guard.tick(after(3670.0))), []);
    assert_eq!(woken(&guard.tick(after(3672.0))), [AlertKind::PowerCut]);
}

#[test]
fn a_power_cut_alarm_that_is_taken_back_at_once_is_a_flicker() {
    let mut guard = parked_without_a_word_of_supply();
    assert_eq!(cut_word(&mut guard, 3610.0, &[AlarmKind::PowerCut]), []);
    assert_eq!(cut_word(&mut guard, 3640.0, &[AlarmKind::PowerRestored]), []);
    assert_eq!(woken(&guard.tick(after(3900.0))), []);
    assert_eq!(cut_word(&mut guard, 4000.0, &[AlarmKind::PowerCut]), []);
    let mut there = moment(4030.0, 0.0, 0.0, Some(false));
    there.status.external_power = Some(true);
    guard.consider(V, &there, &seen(4030.0));
    assert_eq!(woken(&guard.tick(after(4300.0))), []);
}

#[test]
fn a_battery_taken_out_before_arming_is_no_cut_however_its_alarm_is_repeated() {
    let mut guard = parked_without_a_word_of_supply();
    guard.disarm(V, after(3601.0), after(3601.0));
    cut_word(&mut guard, 3610.0, &[AlarmKind::PowerCut]);
    guard.arm(V, after(3700.0), after(3700.0));
    for n in 0..10 {
        let kinds: &[AlarmKind] = if n % 2 == 0 { &[] } else { &[AlarmKind::PowerCut] };
        assert_eq!(cut_word(&mut guard, 3710.0 + 60.0 * f64::from(n), kinds), []);
    }
    // It was put back, without a word of it; more than a day later it is another loss.
    assert_eq!(cut_word(&mut guard, 3700.0 + 600.0, &[]), []);
    guard.disarm(V, after(5000.0), after(5000.0));
    guard.arm(V, after(100_000.0), after(100_000.0));
    let mut told = Vec::new();
    for n in 0..4 {
        told.extend(cut_word(&mut guard, 100_010.0 + 20.0 * f64::from(n), &[AlarmKind::PowerCut]));
    }
    assert_eq!(told, [AlertKind::PowerCut]);
}
