//! Frames and snapshots of binance-spot.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lobtape_fuzz::decode("binance-spot", bytes));
