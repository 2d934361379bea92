//! Raw rings of a process that died, and with damage.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lobtape_fuzz::disk::ring(bytes));
