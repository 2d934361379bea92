//! See `lobtape_fuzz::import_line`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lobtape_fuzz::import_line(bytes));
