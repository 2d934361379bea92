//! WebSocket frames and fragments, through a connection of the reader.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lobtape_fuzz::wire::frames(bytes));
