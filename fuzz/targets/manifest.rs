//! Lines of the manifest.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lobtape_fuzz::disk::manifest(bytes));
