//! Frames and snapshots of binance-coinm.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lobtape_fuzz::decode("binance-coinm", bytes));
