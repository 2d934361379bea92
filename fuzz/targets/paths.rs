//! Both readers of frames, held against each other.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lobtape_fuzz::paths(bytes));
