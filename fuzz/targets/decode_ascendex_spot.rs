//! Frames and snapshots of ascendex-spot.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lobtape_fuzz::decode("ascendex-spot", bytes));
