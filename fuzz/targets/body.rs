//! Compressed bodies of REST answers.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lobtape_fuzz::wire::body(bytes));
