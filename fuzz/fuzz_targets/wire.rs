//! What a peer sends, as bytes on the stream.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bootstep::fuzzing::wire(data));
