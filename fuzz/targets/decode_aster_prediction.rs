//! Frames and snapshots of aster-prediction.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lobtape_fuzz::decode("aster-prediction", bytes));
