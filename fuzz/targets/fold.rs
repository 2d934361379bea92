//! Records through the fold, in one go and with a checkpoint between.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lobtape_fuzz::folds::fold(bytes));
