//! See `lobtape_fuzz::decimal`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lobtape_fuzz::decimal(bytes));
