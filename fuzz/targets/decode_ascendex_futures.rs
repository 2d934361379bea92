//! Frames and snapshots of ascendex-futures.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lobtape_fuzz::decode("ascendex-futures", bytes));
