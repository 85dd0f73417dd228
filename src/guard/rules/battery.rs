//! Low battery of the tracker, raised once until it has recovered.

use crate::guard::params::BatteryParams;

/// Takes in a charge, percent, and whether the tracker's own alarm has just come on. Returns whether it is now
/// to be raised; `is_low` is the memory. A charge that has recovered speaks against the alarm.
pub fn observe(params: &BatteryParams, is_low: &mut bool, percent: Option<u8>, is_alarm: bool) -> bool {
    let percent = percent.filter(|p| *p <= 100); // 255 is "unknown" in several languages.
    if percent.is_some_and(|p| p >= params.recovered_percent) {
        *is_low = false;
        return false;
    }
    let is_new = (is_alarm || percent.is_some_and(|p| p <= params.low_percent)) && !*is_low;
    *is_low |= is_new;
    is_new
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_battery_at_the_edge_is_told_once() {
        let (params, mut low) = (BatteryParams::default(), false);
        let told: Vec<bool> =
            [16, 15, 16, 14, 15, 255, 26, 15].iter().map(|p| observe(&params, &mut low, Some(*p), false)).collect();
        assert_eq!(told, [false, true, false, false, false, false, false, true]);
    }

    #[test]
    fn the_alarm_of_the_tracker_itself_is_told_once_and_not_against_a_full_battery() {
        let (params, mut low) = (BatteryParams::default(), false);
        let mut said = |percent, is_alarm| observe(&params, &mut low, percent, is_alarm);
        let told = [said(None, true), said(None, true), said(Some(14), true), said(Some(90), true), said(None, true)];
        assert_eq!(told, [true, false, false, false, true]);
    }
}
