//! Packets with one location each, by protocol, as trackers say them. They are made up.

/// A JT/T 808 location with the usual additional items.
fn jt808() -> Vec<u8> {
    let mut inner = vec![0x02, 0x00, 0, 0, 0x01, 0x38, 0x00, 0x13, 0x80, 0x00, 0x00, 0x07];
    inner.extend([0, 0, 0, 0, 0, 0, 0, 3]); // no alarm; ignition on, fix valid
    inner.extend(28_550_000u32.to_be_bytes());
    inner.extend(112_350_000u32.to_be_bytes());
    inner.extend([0, 41, 0, 234, 0, 181]); // 41 m, 23.4 km/h, 181 degrees
    inner.extend([0x26, 0x06, 0x15, 0x10, 0x57, 0x25]);
    inner.extend([0x01, 4, 0, 0, 0, 100, 0x30, 1, 22, 0x31, 1, 9]); // odometer, signal, satellites
    inner[3] = inner.len() as u8 - 12;
    inner.push(inner.iter().fold(0, |a, b| a ^ b));
    [&[0x7e], inner.as_slice(), &[0x7e]].concat()
}

/// The name of each protocol, and a packet of it.
pub fn packets() -> [(&'static str, Vec<u8>); 8] {
    let json = br#"{"v":1,"id":"yy000001","seq":42,"fixes":[{"t":1790000000000,"lat":28.551234,"lon":112.351234,"alt":41,"kmh":23.4,"deg":181,"sats":11,"hdop":0.9,"acc":4.5}]}"#;
    // One location each, as the simulator says them.
    let gt06 = bytes("787822221a060f023919cb0310868b0c0e493f1914b401cc00287d001f7100000000007f1b0d0a");
    let teltonika = bytes(
        "000000000000002a08010000019ec93662080042fa08b5110679b0002800b40b0019000403ef00f001fc000142bb8000000100004a38",
    );
    let h02 = b"*HQ,4210051415,V1,025725,A,2833.0000,N,11221.0000,E,010.00,181,150626,FFF7FBFF#";
    let owntracks = br#"{"_type":"location","tid":"5t","tst":1781492245,"lat":28.55,"lon":112.35,"vel":12,"batt":46}"#;
    let osmand = b"/?id=42&lat=28.55&lon=112.35&timestamp=1781492245&speed=10&batt=87";
    let gateway = br#"{"header":{"msg_id":512,"phone":"013800138000"},"body":{"alarm":1,"status":3,"latitude":28550000,"longitude":112350000,"altitude":41,"speed":234,"direction":181,"time":"260615105725","extra":{"gnss_sat_num":12}}}"#;
    [
        ("jt808", jt808()),
        ("json", json.to_vec()),
        ("gt06", gt06),
        ("h02", h02.to_vec()),
        ("teltonika", teltonika),
        ("owntracks", owntracks.to_vec()),
        ("osmand", osmand.to_vec()),
        ("jt808_json", gateway.to_vec()),
    ]
}

fn bytes(hexadecimal: &str) -> Vec<u8> {
    hex::decode(hexadecimal).expect("hexadecimal")
}
