#!/bin/bash
# rumqttc 0.25.1 (crates.io), its MQTT 5 codec, reading a client's DISCONNECT.
#
# MQTT 5, 3.14.2, lets a client leave out the reason code and the properties of a normal DISCONNECT (a remaining length of 0), or
# the properties alone (a remaining length of 1). Other clients send these. A good engineer would expect the codec to read both
# as a DISCONNECT. What happens: the first ends with `PayloadRequired`, the second with `InsufficientBytes(1)`, which elsewhere
# means that more bytes have to come. Only the longest form, with a length of no properties, is read. The codec for MQTT 3.1.1 of
# the same crate reads its two bytes.
# A server built on the codec takes a polite goodbye for a broken packet, or waits for a byte that never comes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cargo init --quiet --name short_disconnect --vcs none
cat >>Cargo.toml <<'TOML'
rumqttc = { version = "=0.25.1", default-features = false }
bytes = "=1.11.0"
TOML
cat >src/main.rs <<'RS'
use bytes::BytesMut;
use rumqttc::mqttbytes::v4;
use rumqttc::v5::mqttbytes::v5;

fn main() {
    let by_five = |bytes: &[u8]| v5::Packet::read(&mut BytesMut::from(bytes), Some(1024));
    let (short, code, full) = (by_five(&[0xe0, 0]), by_five(&[0xe0, 1, 0]), by_five(&[0xe0, 2, 0, 0]));
    let older = v4::Packet::read(&mut BytesMut::from(&[0xe0, 0][..]), 1024);
    println!("MQTT 5, nothing: {short:?}");
    println!("MQTT 5, reason code: {code:?}");
    println!("MQTT 5, reason code and length of properties: {full:?}");
    println!("MQTT 3.1.1: {older:?}");
    let is_as_written = matches!(short, Err(rumqttc::v5::mqttbytes::Error::PayloadRequired))
        && matches!(code, Err(rumqttc::v5::mqttbytes::Error::InsufficientBytes(1)))
        && matches!(full, Ok(v5::Packet::Disconnect(_)))
        && matches!(older, Ok(v4::Packet::Disconnect));
    std::process::exit(i32::from(!is_as_written));
}
RS
cargo run --quiet
