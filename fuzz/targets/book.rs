//! The book against two ordered maps.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lobtape_fuzz::books::book(bytes));
