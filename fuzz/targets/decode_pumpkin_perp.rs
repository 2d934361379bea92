//! Frames and snapshots of pumpkin-perp.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lobtape_fuzz::decode("pumpkin-perp", bytes));
