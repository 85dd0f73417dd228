//! The properties of MQTT 5, as far as rumqttc's codec does not check them.

use super::Fault;
use super::wire::Cursor;

const SUBSCRIPTION_IDENTIFIER: u8 = 11;
const AUTHENTICATION_METHOD: u8 = 21;
const AUTHENTICATION_DATA: u8 = 22;
const TOPIC_ALIAS: u8 = 35;
const USER_PROPERTY: u8 = 38;
/// Properties that a client may send, by packet.
pub(super) const OF_CONNECT: &[u8] =
    &[17, AUTHENTICATION_METHOD, AUTHENTICATION_DATA, 23, 25, 33, 34, USER_PROPERTY, 39];
pub(super) const OF_WILL: &[u8] = &[1, 2, 3, 8, 9, 24, USER_PROPERTY];
pub(super) const OF_PUBLISH: &[u8] = &[1, 2, 3, 8, 9, TOPIC_ALIAS, USER_PROPERTY];
pub(super) const OF_ACK: &[u8] = &[31, USER_PROPERTY];
pub(super) const OF_SUBSCRIBE: &[u8] = &[SUBSCRIPTION_IDENTIFIER, USER_PROPERTY];
pub(super) const OF_UNSUBSCRIBE: &[u8] = &[USER_PROPERTY];
pub(super) const OF_DISCONNECT: &[u8] = &[17, 31, USER_PROPERTY];

impl Cursor<'_> {
    /// Properties of MQTT 5: of those `allowed`, each once and within their announced length.
    /// The codecs read beyond that length, and take any property twice.
    pub(super) fn properties(&mut self, allowed: &[u8]) -> Result<(), Fault> {
        let bytes = self.length()?;
        let mut own = Cursor(self.skip(bytes)?);
        let mut seen = 0_u64;
        while !own.0.is_empty() {
            let number = own.u8()?;
            if !allowed.contains(&number) {
                return Err(Fault::Malformed("a property that does not belong to its packet"));
            }
            let bit = 1 << number; // at most 42, as it is one of those allowed
            if seen & bit != 0 && number != USER_PROPERTY {
                return Err(Fault::Malformed("a property stands twice"));
            }
            seen |= bit;
            own.property(number)?;
        }
        Ok(())
    }

    fn property(&mut self, number: u8) -> Result<(), Fault> {
        match number {
            TOPIC_ALIAS => return Err(Fault::TopicAlias),
            AUTHENTICATION_METHOD | AUTHENTICATION_DATA => return Err(Fault::Unexpected("AUTH")),
            SUBSCRIPTION_IDENTIFIER => return Err(Fault::Malformed("a subscription identifier: not offered")),
            // Payload format, request problem information, request response information.
            1 | 23 | 25 => {
                if self.u8()? > 1 {
                    return Err(Fault::Malformed("a property of yes and no is neither"));
                }
            }
            // Message expiry, session expiry, will delay.
            2 | 17 | 24 => drop(self.skip(4)?),
            // Content type, response topic, reason string.
            3 | 8 | 31 => drop(self.text()?),
            // Correlation data.
            9 => drop(self.bytes()?),
            // Receive maximum, maximum packet size.
            33 => return self.above_zero(2),
            39 => return self.above_zero(4),
            // Topic alias maximum of the client.
            34 => drop(self.u16()?),
            USER_PROPERTY => {
                self.text()?;
                self.text()?;
            }
            _ => return Err(Fault::Malformed("a property that nobody knows")),
        }
        Ok(())
    }

    fn above_zero(&mut self, bytes: usize) -> Result<(), Fault> {
        let is_zero = self.skip(bytes)?.iter().all(|b| *b == 0);
        if is_zero { Err(Fault::Malformed("a maximum of zero")) } else { Ok(()) }
    }
}
