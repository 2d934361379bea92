//! Records, and the payloads of those that are not frames.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lobtape_fuzz::text::records(bytes));
