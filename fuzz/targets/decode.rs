//! Frames and snapshots of every venue.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lobtape_fuzz::decode(bytes));
