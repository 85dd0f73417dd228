//! 0x0107: what the terminal is (JT/T 808, section 8.20 of 2019).
//!
//! Three layouts are sent: 2013's, 2019's, and 2019's with the maker's 11 bytes of 0x0100. Many terminals send
//! one under the header of another, so the lengths inside decide.

use crate::domain::{Report, Status};
use crate::protocol::cursor::Cursor;
use crate::protocol::jt808::values::{bcd_iccid, push_status, text};
use crate::protocol::{DecodeError, keep};
use compact_str::CompactString;

/// Bytes of maker, model and id.
const LAYOUTS: [usize; 3] = [5 + 20 + 7, 5 + 30 + 30, 11 + 30 + 30];
/// What stands behind the versions: the properties of receiver and modem.
const PROPERTIES_BYTES: usize = 2;

struct Attributes {
    iccid: Option<CompactString>,
    firmware: Option<CompactString>,
    left_bytes: usize,
}

/// Reads a body.
///
/// # Errors
/// It is too short for the shortest layout.
pub fn read(bytes: &[u8], report: &mut Report) -> Result<(), DecodeError> {
    let first = layout(bytes, LAYOUTS[0]);
    let fits: Vec<Attributes> = LAYOUTS.iter().filter_map(|names| layout(bytes, *names).ok()).collect();
    // The layout that ends with the body; among several the one with a SIM card's number.
    let ending = || fits.iter().filter(|a| a.left_bytes == PROPERTIES_BYTES);
    let best = ending()
        .find(|a| a.iccid.is_some())
        .or_else(|| ending().next())
        .or_else(|| fits.iter().find(|a| a.iccid.is_some()));
    match best {
        Some(Attributes { iccid, firmware, .. }) => {
            let (iccid, firmware) = (iccid.clone(), firmware.clone());
            push_status(report, Status { iccid, firmware, ..Status::default() });
        }
        None => {
            first?;
            keep(&mut report.unknown, || "body".into(), bytes);
        }
    }
    Ok(())
}

/// Kind, names, SIM card, versions of hardware and firmware.
fn layout(bytes: &[u8], names: usize) -> Result<Attributes, DecodeError> {
    let mut body = Cursor::new(bytes);
    body.u16("kind of terminal")?;
    body.take(names, "maker, model and id")?;
    let iccid = bcd_iccid(body.take(10, "SIM card")?);
    let mut version = || {
        let length = body.u8("length of a version")?;
        body.take(length.into(), "version")
    };
    version()?;
    let firmware = text(version()?);
    Ok(Attributes { iccid, firmware, left_bytes: body.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(names: usize, iccid: [u8; 10]) -> Vec<u8> {
        let mut body = vec![0, 7];
        body.extend(std::iter::repeat_n(b'A', names));
        body.extend(iccid);
        body.extend(*b"\x03H-2\x04v3.1\x01\x02");
        body
    }

    #[test]
    fn the_lengths_inside_say_which_layout_it_is() {
        let iccid = [0x89, 0x86, 0, 0, 0, 0, 0, 0, 0, 0x26];
        for names in LAYOUTS {
            let mut report = Report::default();
            read(&body(names, iccid), &mut report).unwrap();
            let status = &report.moments[0].status;
            assert_eq!(status.iccid.as_deref(), Some("89860000000000000026"), "{names}");
            assert_eq!(status.firmware.as_deref(), Some("v3.1"), "{names}");
        }
    }

    #[test]
    fn a_number_that_is_no_iccid_is_no_fact() {
        for iccid in [[0; 10], [0xff; 10], [0x13; 10]] {
            let mut report = Report::default();
            read(&body(LAYOUTS[0], iccid), &mut report).unwrap();
            let status = &report.moments[0].status;
            assert_eq!((status.iccid.as_deref(), status.firmware.as_deref()), (None, Some("v3.1")));
        }
    }

    #[test]
    fn a_body_of_no_layout_is_kept_or_refused() {
        let mut report = Report::default();
        assert!(read(&[0, 7, 1], &mut report).is_err());
        read(&[0; 60], &mut report).unwrap();
        assert!(report.moments.is_empty() && report.unknown.contains_key("body"));
    }
}
