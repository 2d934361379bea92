//! Frames and snapshots of aster-spot.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lobtape_fuzz::decode("aster-spot", bytes));
