//! The languages that trackers speak on a socket of their own.

use crate::domain::{Profile, Timestamp};
pub use crate::protocol::heard::{Heard, Kind};
use crate::protocol::{DecodeError, FrameStep, gt06, h02, jt808, teltonika};
use compact_str::CompactString;

/// How the frames of a language are found in a stream.
pub type Step = fn(&[u8]) -> FrameStep;
/// How a frame is heard.
pub type Hear = fn(&Profile, &[u8], Timestamp) -> Result<Heard, DecodeError>;

/// Whom a frame names, before it is known how that tracker is read.
pub type NameOf = fn(&[u8]) -> Option<CompactString>;

/// A language that trackers speak on a socket of their own.
#[derive(Debug)]
pub struct Spoken {
    /// Its name in profiles.
    pub name: &'static str,
    /// Finds the first frame of a stream.
    pub step: Step,
    /// Hears a frame.
    pub hear: Hear,
    /// Whom a frame names.
    pub name_of: NameOf,
    /// Whether the tracker shows that it is who it says.
    pub has_secret: bool,
    /// Whether each datagram names its tracker and is whole, so that it may come by UDP.
    pub has_datagrams: bool,
}

/// All of them.
pub const SPOKEN: &[Spoken] = &[
    Spoken {
        name: "gt06",
        step: gt06::frame,
        hear: gt06::hear,
        name_of: |frame| name(gt06::hear, "gt06", frame),
        has_secret: false,
        has_datagrams: false,
    },
    Spoken {
        name: "h02",
        step: h02::frame,
        hear: h02::hear,
        name_of: |frame| name(h02::hear, "h02", frame),
        has_secret: false,
        has_datagrams: true,
    },
    Spoken {
        name: "jt808",
        step: jt808::frame,
        hear: jt808::hear,
        name_of: |frame| name(jt808::hear, "jt808", frame),
        has_secret: true,
        has_datagrams: false,
    },
    Spoken {
        name: "teltonika",
        step: teltonika::frame,
        hear: teltonika::hear,
        name_of: teltonika::name,
        has_secret: false,
        has_datagrams: true,
    },
];

/// The language of this name, if trackers speak it on a socket of their own.
pub fn spoken(name: &str) -> Option<&'static Spoken> {
    SPOKEN.iter().find(|spoken| spoken.name == name)
}

/// Their names, for whoever chose another.
pub fn names() -> String {
    SPOKEN.iter().map(|spoken| spoken.name).collect::<Vec<_>>().join(", ")
}

fn name(hear: Hear, language: &str, frame: &[u8]) -> Option<CompactString> {
    let any = Profile { tolerate_checksum: true, ..Profile::of(language) };
    hear(&any, frame, Timestamp::default()).ok()?.idents.into_iter().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(language: &str, frame: &str) -> Heard {
        let spoken = SPOKEN.iter().find(|spoken| spoken.name == language).unwrap();
        let bytes = hex::decode(frame).unwrap_or_else(|_| frame.as_bytes().to_vec());
        let at = Timestamp::parse_rfc3339("2026-11-23T21:22:58Z").unwrap();
        assert_eq!((spoken.step)(&bytes), FrameStep::Frame(bytes.len()), "{language} {frame}");
        (spoken.hear)(&Profile::of(language), &bytes, at).unwrap()
    }

    #[test]
    fn log_ins_and_heartbeats_are_answered_at_once_and_positions_when_they_are_kept() {
        // Concox' own example of a log-in (GPS Tracker Communication Protocol 1.8, 5.1).
        let login = heard("gt06", "78780d01012345678901234500018cdd0d0a");
        assert_eq!((login.kind, login.idents[0].as_str()), (Kind::Session, "123456789012345"));
        assert_eq!(hex::encode(&login.answer), "787805010001d9dc0d0a");
        let heartbeat = heard("gt06", "78780a134004040001000fdcee0d0a");
        assert_eq!((heartbeat.kind, heartbeat.is_kept, heartbeat.idents.len()), (Kind::Session, true, 0));
        let imei = heard("teltonika", "000f333536333037303432343431303133");
        assert_eq!((imei.kind, imei.is_kept, &imei.answer[..]), (Kind::Session, false, &[1][..]));
        let datagram = "003dcafe0105000f33353230393330383634303336353508010000016b4f815b30010000000000000000000000000000000103021503010101425dbc000001";
        let datagram = heard("teltonika", datagram);
        assert_eq!(
            (datagram.kind, datagram.is_kept, &datagram.answer[..]),
            (Kind::Data, true, &[0, 5, 0xca, 0xfe, 1, 5, 1][..])
        );
        // Teltonika's own example: one record (Codec 8, TCP).
        let record = heard(
            "teltonika",
            "000000000000003608010000016b40d8ea30010000000000000000000000000000000105021503010101425e0f01f10000601a014e0000000000000000010000c7cf",
        );
        assert_eq!((record.kind, record.is_kept, &record.answer[..]), (Kind::Data, true, &[0, 0, 0, 1][..]));
    }

    #[test]
    fn h02_is_answered_with_the_platforms_time() {
        let text = |frame: &str| {
            let heard = heard("h02", frame);
            (heard.kind, heard.idents[0].to_string(), String::from_utf8_lossy(&heard.answer).into_owned())
        };
        let place = "*HQ,1234567890,V1,105759,A,2833.3920,N,11221.0220,E,000.00,173,231126,FFFFFBFF#";
        let answer = "*HQ,1234567890,V4,V1,20261123212258#".to_owned();
        assert_eq!(text(place), (Kind::Data, "1234567890".into(), answer));
        let beat = "*HQ,1234567890,HTBT,80#";
        assert_eq!(text(beat), (Kind::Session, "1234567890".into(), beat.into()));
        // What is no text is read, and nobody's; an answer would be three times as long.
        for frame in ["V1,105759,A,2833.3920,N,11221.0220,E,000.00,173,231126,FFFFFBFF#", "HTBT,80#"] {
            let frame = [b"*HQ,\x92\x92\x92\x92\x92,", frame.as_bytes()].concat();
            assert!(super::h02::hear(&Profile::of("h02"), &frame, Timestamp::default()).unwrap().answer.is_empty());
        }
    }

    #[test]
    fn questions_for_the_time_get_it() {
        let gt06 = heard("gt06", &hex::encode(gt06::build(false, 0x8a, &[], 7)));
        assert_eq!(gt06.answer, gt06::build(false, 0x8a, &[26, 11, 23, 21, 22, 58], 7));
        assert_eq!((gt06.kind, gt06.is_kept), (Kind::Session, false));
        let asked = jt808::escape_frame(&hex::decode("7e01090000013800138000000556007e").map(with_sum).unwrap());
        let jt808 = heard("jt808", &hex::encode(asked));
        // 0x8109: year in two bytes, month, day, hour, minute, second, UTC.
        assert!(hex::encode(&jt808.answer).contains("81090008013800138000000007ea0b1715163a00"), "{:?}", jt808.answer);
    }

    /// A frame of JT/T 808 whose last byte but one is made its check sum.
    fn with_sum(mut frame: Vec<u8>) -> Vec<u8> {
        let at = frame.len() - 2;
        frame[at] = frame[1..at].iter().fold(0, |sum, byte| sum ^ byte);
        frame
    }

    fn terminal(message: &str, body: &str) -> Vec<u8> {
        let head = format!("7e{message}{:04x}0138001380000001{body}007e", body.len() / 2);
        jt808::escape_frame(&with_sum(hex::decode(head).unwrap()))
    }

    #[test]
    fn a_terminal_registers_with_what_it_is_and_shows_the_code_it_got() {
        let body = format!(
            "0002001a{}{}{}01",
            hex::encode("MAKER"),
            hex::encode("MODEL-OF-2013-ABCDEF"),
            hex::encode("TERM001")
        );
        let register = terminal("0100", &body);
        let heard_one = heard("jt808", &hex::encode(&register));
        assert_eq!(
            (heard_one.kind, heard_one.is_kept, heard_one.idents[0].as_str()),
            (Kind::Register, false, "013800138000")
        );
        assert_eq!(jt808::registering_terminal(&register).unwrap(), b"MAKERMODEL-OF-2013-ABCDEFTERM001");
        let answer = jt808::registration_answer(&register, Ok("c0de")).unwrap();
        assert!(
            hex::encode(&answer).starts_with("7e8100000701380013800000000001")
                && answer.windows(4).any(|w| w == b"c0de")
        );
        let refused = jt808::registration_answer(&register, Err(3)).unwrap();
        assert!(hex::encode(&refused).starts_with("7e810000030138001380000000000103"), "{refused:02x?}");
        let authenticate = terminal("0102", &hex::encode("c0de"));
        assert_eq!(heard("jt808", &hex::encode(&authenticate)).kind, Kind::Authenticate);
        assert_eq!(jt808::shown_codes(&authenticate).unwrap()[0], b"c0de");
        let answer = jt808::general_answer(&authenticate, 1).unwrap();
        assert!(hex::encode(&answer).starts_with("7e800100050138001380000000000101020"), "{answer:02x?}");
        let beat = heard("jt808", &hex::encode(terminal("0002", "")));
        assert_eq!((beat.kind, beat.is_kept, beat.answer.is_empty()), (Kind::Session, true, false));
    }
}
