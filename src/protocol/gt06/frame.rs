//! Frames: 78 78 with a length of one byte, 79 79 with two; number, content, serial, CRC, 0D 0A.

use crate::domain::ReplyBytes;
use crate::protocol::cursor::Cursor;
use crate::protocol::{DecodeError, FrameStep, crc16_table};

/// Longest frame taken from a stream.
const FRAME_BYTES_MAX: usize = 4096;
const STOP: [u8; 2] = [0x0d, 0x0a];
/// Lists of access points: some devices send them without serial and CRC, their count for a length.
const WIFI: [u8; 2] = [0x17, 0x69];

/// A frame taken apart.
pub struct Frame<'a> {
    /// Whether the length has two bytes.
    pub is_long: bool,
    /// Its length field.
    pub said: usize,
    /// Protocol number.
    pub number: u8,
    /// What stands between the number and the serial.
    pub content: &'a [u8],
    /// Serial number; `None` in the lists of access points that have none.
    pub serial: Option<u16>,
    /// Whether its CRC is wrong and tolerated.
    pub is_check_sum_wrong: bool,
}

impl<'a> Frame<'a> {
    /// Takes a frame apart.
    ///
    /// # Errors
    /// No start, too short, a wrong CRC.
    pub fn read(bytes: &'a [u8], tolerate_checksum: bool) -> Result<Self, DecodeError> {
        let mut head = Cursor::new(bytes);
        let is_long = match head.u16("start")? {
            0x7878 => false,
            0x7979 => true,
            other => {
                let problem = format!("is {other:#06x}; it must be 0x7878 or 0x7979");
                return Err(DecodeError::Field { field: "start", problem });
            }
        };
        let said = if is_long { usize::from(head.u16("length")?) } else { usize::from(head.u8("length")?) };
        let head_bytes = bytes.len() - head.len();
        let mut rest = head.rest();
        // Some models' length is wrong; the stop bits then say where the frame ends.
        let tail = rest.strip_suffix(&STOP);
        let is_whole = said >= 5 && rest.len() == said + 2;
        match tail {
            Some(body) if body.len() >= 5 => rest = body,
            _ if !is_whole => return Err(DecodeError::Truncated { field: "stop bits", at: bytes.len() }),
            _ => rest = &rest[..said],
        }
        let (covered, end) = rest.split_at(rest.len() - 2);
        let found = u16::from_be_bytes([end[0], end[1]]);
        let computed = crc_itu(&bytes[2..head_bytes + covered.len()]);
        if found != computed && !is_long && !is_whole && WIFI.contains(&rest[0]) {
            let (number, content) = (rest[0], &rest[1..]);
            return Ok(Self { is_long, said, number, content, serial: None, is_check_sum_wrong: false });
        }
        let is_check_sum_wrong = found != computed;
        if is_check_sum_wrong && !tolerate_checksum {
            return Err(DecodeError::Checksum { field: "CRC", found: found.into(), computed: computed.into() });
        }
        let (body, serial) = covered.split_at(covered.len() - 2);
        let (number, content) = body.split_first().ok_or(DecodeError::Truncated { field: "number", at: head_bytes })?;
        let serial = Some(u16::from_be_bytes([serial[0], serial[1]]));
        Ok(Self { is_long, said, number: *number, content, serial, is_check_sum_wrong })
    }

    /// The answer: the same number and serial. Most long frames are answered in the short form. Lists
    /// without a serial are answered with their time.
    pub fn reply(&self) -> ReplyBytes {
        let Some(serial) = self.serial else {
            let mut out = ReplyBytes::from_slice(&[0x78, 0x78, 0, self.number]);
            out.extend_from_slice(self.content.get(..6).unwrap_or(self.content));
            out.extend_from_slice(&STOP);
            return out;
        };
        build(self.is_long && matches!(self.number, 0x32 | 0x33), self.number, &[], serial)
    }
}

/// Puts a frame together.
pub fn build(is_long: bool, number: u8, content: &[u8], serial: u16) -> ReplyBytes {
    let length = content.len() + 5;
    let mut out = ReplyBytes::new();
    if is_long {
        out.extend_from_slice(&[0x79, 0x79]);
        out.extend_from_slice(&(length as u16).to_be_bytes());
    } else {
        out.extend_from_slice(&[0x78, 0x78, length as u8]);
    }
    out.push(number);
    out.extend_from_slice(content);
    out.extend_from_slice(&serial.to_be_bytes());
    let crc = crc_itu(&out[2..]);
    out.extend_from_slice(&crc.to_be_bytes());
    out.extend_from_slice(&STOP);
    out
}

/// CRC-16/X-25: polynomial 0x1021 reflected, initial value and output inverted.
pub fn crc_itu(bytes: &[u8]) -> u16 {
    const TABLE: [u16; 256] = crc16_table(0x8408);
    !bytes.iter().fold(0xffff, |crc, byte| crc >> 8 ^ TABLE[usize::from(crc as u8 ^ byte)])
}

/// Finds the first frame in a stream that may be cut anywhere: by its length, and by the next stop
/// bits where the length is wrong. Stop bits may occur inside a frame.
pub fn frame(stream: &[u8]) -> FrameStep {
    let head = match stream {
        [] | [0x78] | [0x79] => return FrameStep::More,
        [0x78, 0x78, ..] => 3,
        [0x79, 0x79, ..] => 4,
        _ => {
            let next = stream.windows(2).position(|w| w == [0x78, 0x78] || w == [0x79, 0x79]);
            return FrameStep::Skip(next.unwrap_or(stream.len() - 1).max(1));
        }
    };
    if stream.len() < head {
        return FrameStep::More;
    }
    let said = if head == 3 { usize::from(stream[2]) } else { usize::from(u16::from_be_bytes([stream[2], stream[3]])) };
    let end = head + said + STOP.len();
    if said >= 5 && stream.get(end - 2..end) == Some(&STOP) {
        return FrameStep::Frame(end);
    }
    if said >= 5 && stream.len() < end && end <= FRAME_BYTES_MAX {
        return FrameStep::More;
    }
    match stream[head..].windows(2).position(|w| w == STOP) {
        Some(at) => FrameStep::Frame(head + at + 2),
        None if stream.len() > FRAME_BYTES_MAX => FrameStep::Skip(2),
        None => FrameStep::More,
    }
}
