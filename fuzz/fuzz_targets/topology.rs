//! Declarations of queues and exchanges, and a broker's words about two that differ.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bootstep::fuzzing::topology(data));
