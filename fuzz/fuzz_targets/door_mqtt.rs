#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| rideguard_fuzz::door_mqtt(bytes));
