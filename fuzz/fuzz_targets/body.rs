#![no_main]

#[path = "../../tests/it/fuzz/entries.rs"]
#[allow(dead_code, reason = "a target calls one of the entries")]
mod entries;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| entries::body(bytes));
