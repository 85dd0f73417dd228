//! Frames: 78 78 with a length of one byte, 79 79 with two; number, content, serial, CRC, 0D 0A.

use crate::protocol::cursor::Cursor;
use crate::protocol::{DecodeError, FrameStep};

/// Longest frame taken from a stream.
const FRAME_BYTES_MAX: usize = 4096;
const STOP: [u8; 2] = [0x0d, 0x0a];

/// A frame taken apart.
pub struct Frame<'a> {
    /// Whether the length has two bytes.
    pub is_long: bool,
    /// Protocol number.
    pub number: u8,
    /// What stands between the number and the serial.
    pub content: &'a [u8],
    /// Serial number.
    pub serial: u16,
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
        if found != computed && !tolerate_checksum {
            return Err(DecodeError::Checksum { field: "CRC", found: found.into(), computed: computed.into() });
        }
        let (body, serial) = covered.split_at(covered.len() - 2);
        let (number, content) = body.split_first().ok_or(DecodeError::Truncated { field: "number", at: head_bytes })?;
        Ok(Self { is_long, number: *number, content, serial: u16::from_be_bytes([serial[0], serial[1]]) })
    }

    /// The answer: the same number and serial. Most long frames are answered in the short form.
    pub fn reply(&self) -> Vec<u8> {
        build(self.is_long && matches!(self.number, 0x32 | 0x33), self.number, &[], self.serial)
    }
}

/// Puts a frame together.
pub fn build(is_long: bool, number: u8, content: &[u8], serial: u16) -> Vec<u8> {
    let length = content.len() + 5;
    let mut inner = if is_long { (length as u16).to_be_bytes().to_vec() } else { vec![length as u8] };
    inner.push(number);
    inner.extend(content);
    inner.extend(serial.to_be_bytes());
    let crc = crc_itu(&inner);
    let mut out = if is_long { vec![0x79, 0x79] } else { vec![0x78, 0x78] };
    out.extend(inner);
    out.extend(crc.to_be_bytes());
    out.extend(STOP);
    out
}

/// CRC-16/X-25: polynomial 0x1021 reflected, initial value and output inverted.
pub fn crc_itu(bytes: &[u8]) -> u16 {
    !bytes.iter().fold(0xffff, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |c, _| if c & 1 == 1 { c >> 1 ^ 0x8408 } else { c >> 1 })
    })
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
