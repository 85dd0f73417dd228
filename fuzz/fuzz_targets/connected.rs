#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| rideguard_fuzz::connected(bytes));
