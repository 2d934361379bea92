//! Segments made of anything, and sound ones with damage.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lobtape_fuzz::disk::journal(bytes));
