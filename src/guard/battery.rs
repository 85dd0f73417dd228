//! Low battery of the tracker, told once until it has recovered.

use super::params::BatteryParams;

/// Takes in a charge, percent. Returns whether it is now to be told; `is_low` is the memory.
pub fn observe(params: &BatteryParams, is_low: &mut bool, percent: u8) -> bool {
    if percent > 100 {
        return false; // 255 is "unknown" in several languages.
    }
    if percent >= params.recovered_percent {
        *is_low = false;
    }
    let tell = percent <= params.low_percent && !*is_low;
    *is_low |= tell;
    tell
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_battery_at_the_edge_is_told_once() {
        let (params, mut low) = (BatteryParams::default(), false);
        let told: Vec<bool> =
            [16, 15, 16, 14, 15, 255, 26, 15].iter().map(|p| observe(&params, &mut low, *p)).collect();
        assert_eq!(told, [false, true, false, false, false, false, false, true]);
    }
}
