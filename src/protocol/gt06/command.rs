//! Commands: number 0x80, a text in the vendor's words.

use crate::protocol::gt06::frame::build;

/// What a tracker may be asked for. Nothing stops a motor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Where it is, now.
    Locate,
    /// Seconds between reports, ignition on and off.
    IntervalS(u16, u16),
    /// Arms or disarms the tracker itself.
    Arm(bool),
    /// The vendor's own text, without the closing #.
    Text(String),
}

/// A command; `flag` comes back with the answer.
pub fn encode(request: &Request, flag: u32, serial: u16) -> Vec<u8> {
    let text = match request {
        Request::Locate => "WHERE#".to_owned(),
        Request::IntervalS(on_s, off_s) => format!("TIMER,{on_s},{off_s}#"),
        Request::Arm(armed) => if *armed { "DEFENSE#" } else { "RELIEVE#" }.to_owned(),
        Request::Text(text) => format!("{text}#"),
    };
    let text = &text.as_bytes()[..text.len().min(200)];
    let mut content = vec![text.len() as u8 + 4];
    content.extend(flag.to_be_bytes());
    content.extend(text);
    content.extend([0, 2]); // answer in English
    build(false, 0x80, &content, serial).into_vec()
}
