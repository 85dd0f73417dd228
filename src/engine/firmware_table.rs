//! The firmware versions of a lane's trackers, kept once for all of them.

use compact_str::CompactString;

/// Firmware versions that a lane keeps once for all its trackers. A city has some dozens; a tracker that
/// reports one beyond these has it for itself.
const FIRMWARES_MAX: usize = 512;

/// Firmware versions by number.
#[derive(Clone, Default)]
pub(super) struct FirmwareTable(Vec<CompactString>);

impl FirmwareTable {
    /// The version of a number.
    pub fn name(&self, number: u16) -> Option<&CompactString> {
        self.0.get(usize::from(number))
    }

    /// The number of a version; none if there is no room for another.
    pub fn number(&mut self, name: &CompactString) -> Option<u16> {
        let known = self.0.iter().position(|n| n == name);
        let number = known.or_else(|| {
            (self.0.len() < FIRMWARES_MAX).then(|| {
                self.0.push(name.clone());
                self.0.len() - 1
            })
        });
        number.and_then(|n| u16::try_from(n).ok())
    }
}
