//! Checkpoints that are none.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lobtape_fuzz::folds::checkpoint(bytes));
