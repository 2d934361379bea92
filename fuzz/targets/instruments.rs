//! See `lobtape_fuzz::instruments`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lobtape_fuzz::instruments(bytes));
