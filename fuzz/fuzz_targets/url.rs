//! The AMQP URL.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bootstep::fuzzing::url(data));
