//! Several frames in one payload: a modem or a gateway passes on what it has read from a socket.

use crate::domain::Report;
use crate::protocol::{DecodeError, FrameStep, Framing};

/// Most frames read of a payload; a TCP segment of 1,460 bytes holds 146 of the shortest (10 bytes).
pub(super) const FRAMES_MAX: usize = 256;
/// Most steps of the search, so that noise cannot hold the lane; each costs at most one look at the payload.
const STEPS_MAX: usize = 1024;
/// Most bytes of what is left over that are shown.
const SHOWN_BYTES_MAX: usize = 32;

/// What is left over, as it is found.
#[derive(Default)]
struct LeftOver {
    first: Option<(usize, String)>,
    bytes: usize,
}

impl LeftOver {
    fn add(&mut self, at: usize, bytes: &[u8], problem: impl FnOnce() -> String) {
        if self.first.is_none() && !bytes.iter().all(u8::is_ascii_whitespace) {
            let shown = hex::encode(&bytes[..bytes.len().min(SHOWN_BYTES_MAX)]);
            self.first = Some((at, format!("{} ({shown})", problem())));
        }
        if self.first.is_some() {
            self.bytes += bytes.len();
        }
    }

    fn said(self) -> Option<Box<str>> {
        let (at, problem) = self.first?;
        Some(format!("{} bytes from byte {at} on are not a frame: {problem}", self.bytes).into())
    }
}

/// Reads every frame of a payload.
///
/// # Errors
/// Why the payload as one frame cannot be read, where no frame can.
pub(super) fn decode(
    framing: &Framing,
    mut read: impl FnMut(&[u8]) -> Result<Report, DecodeError>,
    payload: &[u8],
) -> Result<Report, DecodeError> {
    let begin = payload.iter().position(|b| !b.is_ascii_whitespace()).unwrap_or(0);
    let payload = &payload[begin..];
    let first = (framing.step)(payload);
    // The payload of every day is one frame.
    if first == FrameStep::Frame(payload.len()) {
        return read(payload);
    }
    // Datagrams and forms without a length are known as a whole only.
    let whole = match first {
        FrameStep::Frame(_) => None,
        _ => Some(read(payload)),
    };
    if let Some(Ok(report)) = whole {
        return Ok(report);
    }
    let mut all: Option<Report> = None;
    let mut left = LeftOver::default();
    let (mut at, mut frames, mut steps, mut is_behind_noise) = (0, 0, 0, false);
    let mut error = whole.and_then(Result::err);
    while at < payload.len() {
        let rest = &payload[at..];
        if rest[0].is_ascii_whitespace() {
            at += 1;
            continue;
        }
        steps += 1;
        if frames == FRAMES_MAX || steps > STEPS_MAX {
            left.add(at, rest, || format!("at most {FRAMES_MAX} frames and {STEPS_MAX} steps are read"));
            break;
        }
        match (framing.step)(rest) {
            FrameStep::Frame(n) if !is_behind_noise || (framing.is_sure)(&rest[..n]) => match read(&rest[..n]) {
                Ok(report) => {
                    frames += 1;
                    is_behind_noise = false;
                    all = Some(match all.take() {
                        Some(before) => joined(before, report),
                        None => report,
                    });
                    at += n;
                    let behind = &payload[at..];
                    let may_begin = |b: &u8| *b != rest[0] && *b != b'(' && !b.is_ascii_whitespace();
                    // Where more stands behind the last delimiter, up to another one, that is the first of the next frame.
                    if framing.shares_delimiter
                        && rest[n - 1] == rest[0]
                        && behind.first().is_some_and(may_begin)
                        && behind.contains(&rest[0])
                    {
                        at -= 1;
                    }
                }
                Err(problem) => {
                    if at == 0
                        && let Ok(report) = read(payload)
                    {
                        return Ok(report);
                    }
                    // The end of what is none may be the beginning of the next.
                    let skip =
                        if is_behind_noise { 1 } else { (n - usize::from(n > 1 && rest[n - 1] == rest[0])).max(1) };
                    left.add(at, &rest[..skip], || problem.to_string());
                    error.get_or_insert(problem);
                    is_behind_noise = true;
                    at += skip;
                }
            },
            FrameStep::More if !is_behind_noise => {
                left.add(at, rest, || "the frame is cut".into());
                break;
            }
            FrameStep::Skip(n) => {
                let n = n.clamp(1, rest.len());
                // Between two delimiters nothing stands.
                let is_noise = !(n == 1 && rest.get(1) == rest.first());
                if is_noise || rest.len() == 1 {
                    left.add(at, &rest[..n], || "no frame begins there".into());
                    is_behind_noise = true;
                }
                at += n;
            }
            FrameStep::Frame(_) | FrameStep::More => {
                left.add(at, &rest[..1], || "no frame begins there".into());
                at += 1;
            }
        }
    }
    match (all, error) {
        (Some(mut report), _) => {
            report.left_over = left.said();
            Ok(report)
        }
        (None, Some(error)) => Err(error),
        (None, None) => read(payload),
    }
}

/// Both, one behind the other.
fn joined(mut all: Report, next: Report) -> Report {
    if all.message != next.message {
        all.message.to_mut().push_str(" + ");
        all.message.to_mut().push_str(&next.message);
    }
    all.is_part |= next.is_part;
    all.is_check_sum_wrong |= next.is_check_sum_wrong;
    for ident in next.tracker_idents {
        if !all.tracker_idents.contains(&ident) {
            all.tracker_idents.push(ident);
        }
    }
    all.moments.extend(next.moments);
    all.announced_zone_s = next.announced_zone_s.or(all.announced_zone_s);
    all.sequence = next.sequence.or(all.sequence);
    all.replies.extend(next.replies);
    for (name, value) in next.unknown {
        if all.unknown.len() < crate::protocol::UNKNOWN_MAX {
            let mut free = name.clone();
            let mut number = 2;
            while all.unknown.contains_key(&free) {
                free = format!("{name} ({number})");
                number += 1;
            }
            all.unknown.insert(free, value);
        }
    }
    all
}

#[cfg(test)]
mod tests;
