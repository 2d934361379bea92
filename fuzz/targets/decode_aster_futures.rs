//! Frames and snapshots of aster-futures.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lobtape_fuzz::decode("aster-futures", bytes));
